#include "name_files.h"

#include "fail.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAX_FILE_BYTES = 1 << 20 };

static int open_etc(int root, uid_t owner)
{
	struct open_how how = {.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS};
	int fd = (int)syscall(SYS_openat2, root, "etc", &how, sizeof how);

	if (fd < 0 && errno == ENOENT && mkdirat(root, "etc", 0755) == 0 && fchownat(root, "etc", owner, owner, AT_SYMLINK_NOFOLLOW) == 0)
		fd = (int)syscall(SYS_openat2, root, "etc", &how, sizeof how);
	return fd;
}

static void replace(int etc, const char *name, struct plan_bytes content, uid_t owner)
{
	char temporary[64];
	int fd;

	snprintf(temporary, sizeof temporary, ".%s.holdfast", name);
	fd = openat(etc, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		fail_errno("/etc/%s of an app", temporary);
	if (write(fd, content.data, content.size) != (ssize_t)content.size || fchown(fd, owner, owner) < 0)
		fail_errno("writing /etc/%s of an app", name);
	close(fd);
	if (renameat(etc, temporary, etc, name) < 0)
		fail_errno("/etc/%s of an app", name);
}

void name_files_install(int plan, const char *root, const struct users *users)
{
	uid_t owner = users_outside(users, 0);
	static const char *const names[] = {"resolv.conf", "hosts"};

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		struct plan_bytes content = plan_read_bytes(plan, names[i], MAX_FILE_BYTES);
		int fd, etc;

		if (content.size == 0)
			continue;
		fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			fail_errno("%s", root);
		etc = open_etc(fd, owner);
		if (etc < 0)
			fail_errno("/etc of an app");
		replace(etc, names[i], content, owner);
		close(etc);
		close(fd);
	}
}
