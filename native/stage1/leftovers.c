#include "leftovers.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PASSES = 100, FILE_BYTES = 64 * 1024 };

/* Returns the processes that were named. A name that the end of `text` cuts off is left to the next pass. */
static int kill_listed(const char *text)
{
	int count = 0;

	for (const char *end; (end = strchr(text, '\n')) != NULL; text = end + 1) {
		long pid = strtol(text, NULL, 10);

		if (pid > 1 && kill((pid_t)pid, SIGKILL) == 0)
			count++;
	}
	return count;
}

void leftovers_kill(const char *app)
{
	static char text[FILE_BYTES];
	char path[256];

	snprintf(path, sizeof path, "/s1/cgroups/%s/0", app);
	/* those that are forked meanwhile are in the next list; a zombie of init's stays in none */
	for (int pass = 0; pass < PASSES; pass++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

		if (n < 0 && !(fd < 0 && errno == ENOENT))
			warn_errno("%s", path);
		if (fd >= 0)
			close(fd);
		if (n <= 0)
			return;
		text[n] = 0;
		if (kill_listed(text) == 0)
			return;
	}
}

uint64_t oom_kills(int fd)
{
	char text[1024];
	const char *found;
	ssize_t n;

	if (fd < 0)
		return 0;
	n = pread(fd, text, sizeof text - 1, 0);
	if (n < 0) {
		warn_errno("counting OOM kills");
		return 0;
	}
	text[n] = 0;
	found = strstr(text, "oom_kill ");
	return found == NULL ? 0 : strtoull(found + strlen("oom_kill "), NULL, 10);
}
