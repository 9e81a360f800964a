#include "app_mounts.h"

#include "fail.h"
#include "mount_tree.h"
#include "plan.h"
#include "rooted.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { VOLUME, PATH, ACCESS, FIELDS };

static int open_volume(size_t position)
{
	char path[64];
	int fd;

	snprintf(path, sizeof path, "/s1/volumes/%zu", position);
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fail_errno("volume %zu", position);
	return fd;
}

/* A volume over /proc would let the app forge what init reads and writes there. */
static void refuse_kernel_files(int root, int target, const char *path)
{
	struct stat top, st;
	struct statfs fs;

	if (fstat(root, &top) < 0 || fstat(target, &st) < 0 || fstatfs(target, &fs) < 0)
		fail_errno("mount point %s", path);
	if (top.st_dev == st.st_dev && top.st_ino == st.st_ino)
		fail("mount point %s is the app's root", path);
	if (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == SYSFS_MAGIC || fs.f_type == DEVPTS_SUPER_MAGIC ||
	    fs.f_type == CGROUP_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC)
		fail("mount point %s is among the kernel's files", path);
}

void app_mount_volumes(int plan, int root)
{
	struct plan_list list = plan_read_records(plan, "mounts", FIELDS);

	for (size_t i = 0; i < list.count; i += FIELDS) {
		const char *path = list.item[i + PATH];
		int source = open_volume(plan_number(list.item[i + VOLUME], PLAN_MAX_VOLUMES - 1, "volume"));
		int read_only = plan_choice(list.item[i + ACCESS], "rw", "ro", "access to mount point");
		struct stat st;
		int target, tree;

		if (fstat(source, &st) < 0)
			fail_errno("volume for %s", path);
		target = S_ISDIR(st.st_mode) ? rooted_make_directory(root, path) : rooted_make_file(root, path);
		if (target < 0)
			fail_errno("mount point %s", path);
		refuse_kernel_files(root, target, path);
		tree = tree_clone(source, 1);
		if (tree < 0 || (read_only && tree_set(tree, TREE_READ_ONLY | TREE_RECURSIVE) < 0) ||
		    tree_attach(tree, target) < 0)
			fail_errno("mounting on %s", path);
		close(tree);
		close(target);
		close(source);
	}
}
