#include "request.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LENGTH_BYTES = 4, MAX_REQUEST = 256 << 10 };

/* /dev/fd/3 or /proc/self/cwd would be another file for the server. */
static int means_this_process(const char *text)
{
	return strstr(text, "/dev/") != NULL || strstr(text, "/proc/") != NULL;
}

static mode_t current_umask(void)
{
	mode_t mask = umask(077);

	umask(mask);
	return mask;
}

struct request request_make(int argc, char **argv)
{
	struct request none = { NULL, 0 }, made;
	char cwd[PATH_MAX], mask[8];
	size_t at = LENGTH_BYTES;

	if (getcwd(cwd, sizeof cwd) == NULL || cwd[0] != '/' || strncmp(cwd, "/proc", 5) == 0)
		return none;
	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
		if (means_this_process(argv[i]))
			return none;
	snprintf(mask, sizeof mask, "%04o", (unsigned)current_umask());
	made.size = LENGTH_BYTES + strlen(cwd) + 1 + strlen(mask) + 1;
	for (int i = 0; i < argc; i++)
		made.size += strlen(argv[i]) + 1;
	if (made.size - LENGTH_BYTES > MAX_REQUEST)
		return none;
	made.bytes = malloc(made.size);
	if (made.bytes == NULL)
		return none;
	for (int i = 0; i < LENGTH_BYTES; i++)
		made.bytes[i] = (unsigned char)((made.size - LENGTH_BYTES) >> (8 * i));
	at += strlen(strcpy((char *)made.bytes + at, cwd)) + 1;
	at += strlen(strcpy((char *)made.bytes + at, mask)) + 1;
	for (int i = 0; i < argc; i++)
		at += strlen(strcpy((char *)made.bytes + at, argv[i])) + 1;
	return made;
}
