#include "installation.h"

#include "../stage1/fail.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SCRIPT "holdfast.js"

static char script[PATH_MAX + sizeof SCRIPT];

void installation_find(void)
{
	ssize_t n = readlink("/proc/self/exe", script, PATH_MAX);
	char *slash;

	if (n < 0)
		fail_errno("/proc/self/exe");
	if (n == PATH_MAX)
		fail("this program's path is too long");
	script[n] = '\0';
	slash = strrchr(script, '/');
	if (slash == NULL)
		fail("this program's path is not absolute: %s", script);
	strcpy(slash + 1, SCRIPT);
}

const char *installation_script(void)
{
	return script;
}

static unsigned long long nanoseconds(struct timespec t)
{
	return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
}

void installation_identity(char *text, size_t size)
{
	struct stat s;

	text[0] = '\0';
	if (stat(script, &s) == 0)
		snprintf(text, size, "%llu %llu %llu %llu", (unsigned long long)s.st_ino, (unsigned long long)s.st_size,
			 nanoseconds(s.st_mtim), nanoseconds(s.st_ctim));
}
