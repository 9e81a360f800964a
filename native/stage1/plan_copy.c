#include "plan_copy.h"

#include "fail.h"
#include "plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH = 3 }; /* apps/<app>/<file> */

static void copy_file(int from, int to, const char *name)
{
	struct plan_bytes content = plan_read_bytes(from, name, PLAN_MAX_FILE_BYTES);
	int fd = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	if (fd < 0 || write(fd, content.data, content.size) != (ssize_t)content.size)
		fail_errno("copying plan file %s", name);
	close(fd);
	free(content.data); /* who stays, as the keeper of a virtual machine, is to be small */
}

static int make(int parent, const char *name)
{
	int fd;

	if (mkdirat(parent, name, 0700) < 0)
		fail_errno("mkdir %s", name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fail_errno("%s", name);
	return fd;
}

static void copy_directory(int from, int to, int depth)
{
	DIR *directory = fdopendir(from);
	struct dirent *entry;

	if (directory == NULL)
		fail_errno("plan");
	while (errno = 0, (entry = readdir(directory)) != NULL) {
		const char *name = entry->d_name;
		int below;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		below = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (below < 0 && errno == ENOTDIR) {
			copy_file(from, to, name);
		} else if (below < 0) {
			fail_errno("plan file %s", name);
		} else {
			if (depth == 1)
				fail("plan file %s is a directory", name);
			copy_directory(below, make(to, name), depth - 1);
		}
	}
	if (errno != 0)
		fail_errno("plan");
	closedir(directory);
	close(to);
}

int plan_copy(int plan, const char *target)
{
	int copy = make(AT_FDCWD, target);
	int written = fcntl(copy, F_DUPFD_CLOEXEC, 0);

	if (written < 0)
		fail_errno("%s", target);
	copy_directory(plan, written, DEPTH);
	return copy;
}
