#include "users.h"

#include "fail.h"
#include "mount_tree.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static const unsigned long MAX_BASE = 0xfffffffe - USERS_COUNT;

static void write_map(pid_t pid, const char *name, uid_t base)
{
	char path[64], text[64];
	int length = snprintf(text, sizeof text, "0 %u %d\n", base, USERS_COUNT);
	int fd;

	snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)length) != length)
		fail_errno("private users: giving a user namespace the users from %u on", base);
	close(fd);
}

/* A namespace is there as long as somebody is in it or holds it open; the one that is in it is ended here. */
static int open_namespace(uid_t base)
{
	long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
	char path[64];
	int fd;

	if (pid < 0)
		fail_errno("private users: making a user namespace (user.max_user_namespaces may forbid it)");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		for (;;)
			pause();
	}
	write_map((pid_t)pid, "uid_map", base);
	write_map((pid_t)pid, "gid_map", base);
	snprintf(path, sizeof path, "/proc/%ld/ns/user", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		fail_errno("private users: %s", path);
	kill((pid_t)pid, SIGKILL);
	while (waitpid((pid_t)pid, NULL, 0) < 0)
		if (errno != EINTR)
			fail_errno("waitpid");
	return fd;
}

void users_read(int plan, struct users *users)
{
	struct plan_list planned = plan_read_list(plan, "private-users");

	if (planned.count > 1)
		fail("private-users: %zu items, wanted one at most", planned.count);
	users->base = planned.count == 0 ? 0 : (uid_t)plan_number(planned.item[0], MAX_BASE, "first private user");
	if (planned.count == 1 && users->base == 0)
		fail("private-users: the first one is root of the host");
	users->namespace = planned.count == 0 ? -1 : open_namespace(users->base);
}

uid_t users_outside(const struct users *users, unsigned long id)
{
	if (users->namespace >= 0 && id >= USERS_COUNT)
		fail("private users: the pod has no user %lu, only those below %d", id, USERS_COUNT);
	return users->base + (uid_t)id;
}

void users_give(const struct users *users, const char *path)
{
	if (users->namespace >= 0 && lchown(path, users->base, users->base) < 0)
		fail_errno("private users: owner of %s", path);
}

void users_shift(const struct users *users, const char *path)
{
	int target, tree;

	if (users->namespace < 0)
		return;
	target = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		fail_errno("%s", path);
	tree = tree_clone(target, 0);
	if (tree < 0)
		fail_errno("private users: %s", path);
	if (tree_map_owners(tree, users->namespace) < 0)
		fail_errno("private users: this kernel maps no owners of the file system of %s (idmapped mounts, Linux 6.3)", path);
	if (tree_attach(tree, target) < 0)
		fail_errno("private users: %s", path);
	close(tree);
	close(target);
}
