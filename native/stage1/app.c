#include "app.h"

#include "app_mounts.h"
#include "fail.h"
#include "mount_tree.h"
#include "plan.h"
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, FD_REPORT = 3 };

/* One file for each cgroup of the app: the launcher bound the tasks or cgroup.procs of the host here. */
static void join_cgroups(const char *name)
{
	for (int i = 0;; i++) {
		char path[PATH_BYTES];
		int fd;

		snprintf(path, sizeof path, "/s1/cgroups/%s/%d", name, i);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 && errno == ENOENT)
			return;
		if (fd < 0 || write(fd, "0", 1) != 1)
			fail_errno("joining cgroup %d", i);
		close(fd);
	}
}

/* The supervisor leaves the pod's own cgroups writable, and an app that is root could leave those that limit it. */
static void make_read_only(int root, const char *name)
{
	int mounted = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (mounted < 0 || tree_set(mounted, TREE_READ_ONLY | TREE_RECURSIVE) < 0)
		fail_errno("making /%s read-only", name);
	close(mounted);
}

/*
 * The image decides what lies at `name`, so it must be a real directory: a link could point at another app or at init's
 * files.
 */
static void bring_in(int root, const char *name)
{
	char source[16], target[32];
	int fd;

	if (mkdirat(root, name, 0755) < 0 && errno != EEXIST)
		fail_errno("mkdir /%s", name);
	fd = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		fail_errno("/%s of the image is no directory to mount on", name);
	snprintf(source, sizeof source, "/%s", name);
	snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
	if (mount(source, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		fail_errno("mounting /%s", name);
	close(fd);
}

static void enter_root(const char *name, int plan)
{
	char path[PATH_BYTES];
	int mounted, root;

	if (unshare(CLONE_NEWNS) < 0)
		fail_errno("mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		fail_errno("making / a slave mount");
	snprintf(path, sizeof path, "/apps/%s", name);
	mounted = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (mounted < 0)
		fail_errno("%s", path);
	/* a copy: in a user namespace of the pod's own the kernel makes a root of no mount that came from outside */
	root = tree_clone(mounted, 1);
	if (root < 0 || tree_attach(root, mounted) < 0)
		fail_errno("mounting %s", path);
	close(mounted);
	bring_in(root, "proc");
	bring_in(root, "sys");
	make_read_only(root, "sys");
	bring_in(root, "dev");
	app_mount_volumes(plan, root);
	if (fchdir(root) < 0)
		fail_errno("chdir %s", path);
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		fail_errno("pivot_root");
	if (umount2(".", MNT_DETACH) < 0)
		fail_errno("detaching the old root");
	if (chdir("/") < 0)
		fail_errno("chdir /");
}

/* Under the one number that close_range() spares. */
static void keep_report(int report)
{
	if (report != FD_REPORT && dup3(report, FD_REPORT, O_CLOEXEC) < 0)
		fail_errno("report");
	fail_report_to(FD_REPORT);
}

void app_become(const char *name, const char *program, int report)
{
	char path[PATH_BYTES];
	static struct profile p;
	int plan;

	fail_as("app", EXIT_SETUP);
	fail_report_to(report);
	snprintf(path, sizeof path, "/s1/plan/apps/%s", name);
	plan = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (plan < 0)
		fail_errno("%s", path);
	profile_read(plan, program, &p);

	join_cgroups(name);
	enter_root(name, plan);
	/* the lock among them is a directory of the host: nothing that the image names may be looked up while they are open */
	keep_report(report);
	if (syscall(SYS_close_range, FD_REPORT + 1, ~0U, 0) < 0)
		fail_errno("close_range");
	profile_execute(&p);
}
