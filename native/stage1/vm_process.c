#include "vm_process.h"

#include "fail.h"
#include "profile.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

static const unsigned long MAX_ID = 0xfffffffe;

static int parent = -1; /* a descriptor of it: in a PID namespace of its own a child sees no parent */

struct vm_user vm_user_read(int plan, const char *name)
{
	struct plan_list user = plan_read_list(plan, name);
	struct vm_user read;

	if (user.count != 2)
		fail("%s: %zu items, wanted user and group", name, user.count);
	read = (struct vm_user){(uid_t)plan_number(user.item[0], MAX_ID, "user"), (gid_t)plan_number(user.item[1], MAX_ID, "group")};
	if (read.uid == 0 || read.gid == 0)
		fail("%s: nothing of a virtual machine runs as root", name);
	return read;
}

pid_t vm_process_fork(unsigned long namespaces)
{
	long pid;

	if (parent < 0)
		parent = (int)syscall(SYS_pidfd_open, getpid(), 0);
	if (parent < 0)
		fail_errno("a descriptor of this process");
	pid = syscall(SYS_clone, namespaces | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		fail_errno("starting a process in namespaces of its own");
	return (pid_t)pid;
}

void vm_process_end_with_parent(void)
{
	struct pollfd ended = {.fd = parent, .events = POLLIN};

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		fail_errno("parent's death");
	if (poll(&ended, 1, 0) != 0)
		fail("its parent has ended");
}

static void enter_root(const char *root)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 || chdir(root) < 0)
		fail_errno("%s", root);
	/* onto itself: the old root is then on top and goes */
	if (syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
		fail_errno("entering %s", root);
}

/* All out of the way first, so that moving one does not overwrite another. */
static void place(const struct vm_process *p, int *program)
{
	int first_free = VM_FIRST_FD + (int)p->fd_count, copies[VM_MAX_FDS];

	for (size_t i = 0; i < p->fd_count; i++)
		copies[i] = fcntl(p->fds[i], F_DUPFD_CLOEXEC, first_free);
	*program = fcntl(p->program, F_DUPFD_CLOEXEC, first_free);
	parent = fcntl(parent, F_DUPFD_CLOEXEC, first_free);
	if (dup2(p->null, 0) < 0 || dup2(p->words, 1) < 0 || dup2(p->words, 2) < 0 || *program < 0 || parent < 0)
		fail_errno("descriptors of %s", p->argv.item[0]);
	for (size_t i = 0; i < p->fd_count; i++)
		if (copies[i] < 0 || dup2(copies[i], VM_FIRST_FD + (int)i) < 0)
			fail_errno("descriptor %d of %s", VM_FIRST_FD + (int)i, p->argv.item[0]);
	/* what lies between is the keeper's own: the pod's lock may be among it */
	if (syscall(SYS_close_range, STDERR_FILENO + 1, VM_FIRST_FD - 1, CLOSE_RANGE_CLOEXEC) < 0 ||
	    syscall(SYS_close_range, first_free, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		fail_errno("close_range");
}

static void give_up_privileges(const struct vm_user *user)
{
	const struct rlimit none = {0, 0};

	if (setrlimit(RLIMIT_CORE, &none) < 0) /* it would hold the guest's memory */
		fail_errno("limit of core files");
	profile_limit_bounding_set(0);
	if (setgroups(0, NULL) < 0 || setresgid(user->gid, user->gid, user->gid) < 0 || setresuid(user->uid, user->uid, user->uid) < 0)
		fail_errno("becoming user %u, group %u", user->uid, user->gid);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		fail_errno("no new privileges");
}

static void __attribute__((noreturn)) become(const struct vm_process *p)
{
	int program;

	if (setsid() < 0)
		fail_errno("setsid");
	place(p, &program);
	enter_root(p->root);
	give_up_privileges(&p->user);
	vm_process_end_with_parent(); /* after the change of user, which takes it back */
	reset_signals();
	syscall(SYS_execveat, program, "", p->argv.item, p->env.item, AT_EMPTY_PATH);
	fail_errno("executing %s", p->argv.item[0]);
}

pid_t vm_process_start(const struct vm_process *p)
{
	pid_t pid;

	if (p->argv.count == 0)
		fail("a program is planned without arguments");
	pid = vm_process_fork(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET);
	if (pid == 0)
		become(p);
	return pid;
}
