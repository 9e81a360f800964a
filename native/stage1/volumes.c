#include "volumes.h"

#include "fail.h"
#include "mount_tree.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { NAME, KIND, SOURCE, ACCESS, EXTENT, USER, GROUP, MODE, FIELDS };

static const unsigned long MAX_ID = 0xfffffffe;

int volumes_open_host(const char *name, const char *source)
{
	struct open_how how = {.flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
	struct stat st;
	int fd;

	if (source[0] != '/')
		fail("volume %s: source %s is not an absolute path", name, source);
	fd = (int)syscall(SYS_openat2, AT_FDCWD, source, &how, sizeof how);
	if (fd < 0 && errno == ELOOP)
		fail("volume %s: there is a symbolic link in %s; give the place it leads to", name, source);
	if (fd < 0 || fstat(fd, &st) < 0)
		fail_errno("volume %s: %s", name, source);
	if (!S_ISDIR(st.st_mode) && !S_ISREG(st.st_mode) && !S_ISSOCK(st.st_mode))
		fail("volume %s: %s is no directory, file or socket", name, source);
	return fd;
}

/* A file system that the host of a virtual machine shares with it. */
static int mount_tag(const char *name, const char *tag)
{
	char path[64];
	int fd;

	if (tag[0] != 'v' || tag[1] == 0 || strspn(tag + 1, "0123456789") != strlen(tag + 1) || strlen(tag) > 8)
		fail("volume %s: %.20s is no tag", name, tag);
	if (mkdir("shares", 0700) < 0 && errno != EEXIST)
		fail_errno("mkdir shares");
	snprintf(path, sizeof path, "shares/%s", tag);
	if (mkdir(path, 0700) < 0)
		fail_errno("mkdir %s", path);
	if (mount(tag, path, "virtiofs", MS_NOSUID | MS_NODEV, NULL) < 0)
		fail_errno("volume %s: the host shares nothing as %s", name, tag);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail_errno("volume %s", name);
	return fd;
}

static int make_empty(char *const *volume, const struct users *users)
{
	const char *name = volume[NAME];
	uid_t owner = users_outside(users, plan_number(volume[USER], MAX_ID, "uid"));
	gid_t group = users_outside(users, plan_number(volume[GROUP], MAX_ID, "gid"));
	int parent, fd;

	if (mkdir("volumes", 0711) < 0 && errno != EEXIST)
		fail_errno("mkdir volumes");
	parent = open("volumes", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (parent < 0)
		fail_errno("volumes");
	if (mkdirat(parent, name, 0700) < 0)
		fail_errno("volume %s", name);
	fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fchown(fd, owner, group) < 0 ||
	    fchmod(fd, (mode_t)plan_number(volume[MODE], 07777, "mode")) < 0)
		fail_errno("volume %s", name);
	close(parent);
	return fd;
}

static int open_source(char *const *volume, const struct users *users)
{
	if (strcmp(volume[KIND], "tag") == 0)
		return mount_tag(volume[NAME], volume[SOURCE]);
	return plan_choice(volume[KIND], "host", "empty", "kind of volume") ? make_empty(volume, users)
									    : volumes_open_host(volume[NAME], volume[SOURCE]);
}

static int make_target(const char *path, int source)
{
	struct stat st;
	int fd;

	if (fstat(source, &st) < 0)
		fail_errno("%s", path);
	if (S_ISDIR(st.st_mode)) {
		if (mkdir(path, 0755) < 0)
			fail_errno("mkdir %s", path);
	} else {
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0)
			fail_errno("%s", path);
		close(fd);
	}
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fail_errno("%s", path);
	return fd;
}

void volumes_mount(int plan, const char *directory, const struct users *users)
{
	struct plan_list list = plan_read_records(plan, "volumes", FIELDS);

	if (list.count / FIELDS > PLAN_MAX_VOLUMES)
		fail("%zu volumes, at most %d are taken", list.count / FIELDS, PLAN_MAX_VOLUMES);
	for (size_t i = 0; i < list.count / FIELDS; i++) {
		char *const *volume = list.item + i * FIELDS;
		int read_only = plan_choice(volume[ACCESS], "rw", "ro", "access to volume");
		int recursive = plan_choice(volume[EXTENT], "single", "recursive", "extent of volume");
		char path[128];
		int source, tree, target;

		if (volume[NAME][0] == 0 || strspn(volume[NAME], "abcdefghijklmnopqrstuvwxyz0123456789-") != strlen(volume[NAME]))
			fail("volume %zu has a name that is none", i);
		source = open_source(volume, users);
		snprintf(path, sizeof path, "%s/%zu", directory, i);
		target = make_target(path, source);
		tree = tree_clone(source, recursive);
		if (tree < 0 ||
		    tree_set(tree, TREE_NOSUID | TREE_NODEV | TREE_PRIVATE | (read_only ? TREE_READ_ONLY : 0) |
					   (recursive ? TREE_RECURSIVE : 0)) < 0 ||
		    tree_attach(tree, target) < 0)
			fail_errno("mounting volume %s", volume[NAME]);
		close(tree);
		close(target);
		close(source);
	}
}
