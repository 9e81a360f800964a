#include "masks.h"

#include "fail.h"
#include "mount_tree.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/* -1 where there is none: kernels differ in what they have. */
static int open_kernel_file(const char *path, struct stat *st)
{
	int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno != ENOENT)
		fail_errno("%s", path);
	if (fd >= 0 && fstat(fd, st) < 0)
		fail_errno("%s", path);
	return fd;
}

static void mask(const char *path, int null)
{
	struct stat st;
	int fd = open_kernel_file(path, &st), tree;
	char target[32];

	if (fd < 0)
		return;
	if (S_ISDIR(st.st_mode)) {
		snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
		if (mount("tmpfs", target, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0555") < 0)
			fail_errno("masking %s", path);
	} else {
		tree = tree_clone(null, 0);
		if (tree < 0 || tree_attach(tree, fd) < 0)
			fail_errno("masking %s", path);
		close(tree);
	}
	close(fd);
}

static void make_read_only(const char *path)
{
	struct stat st;
	int fd = open_kernel_file(path, &st), tree;

	if (fd < 0)
		return;
	tree = tree_clone(fd, 1);
	if (tree < 0 || tree_set(tree, TREE_READ_ONLY | TREE_RECURSIVE) < 0 || tree_attach(tree, fd) < 0)
		fail_errno("making %s read-only", path);
	close(tree);
	close(fd);
}

void masks_apply(void)
{
	struct plan_list masked = plan_read_list(AT_FDCWD, "/s1/plan/masked-paths");
	struct plan_list read_only = plan_read_list(AT_FDCWD, "/s1/plan/read-only-paths");
	int null = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (null < 0)
		fail_errno("/dev/null");
	for (size_t i = 0; i < masked.count; i++)
		mask(masked.item[i], null);
	for (size_t i = 0; i < read_only.count; i++)
		make_read_only(read_only.item[i]);
	close(null);
}
