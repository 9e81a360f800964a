#include "exec.h"

#include "cgroups.h"
#include "fail.h"
#include "plan.h"
#include "profile.h"
#include "relay.h"
#include "sealed.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MAX_PID = 1 << 22, LINE_BYTES = 32 };

static const int NAMESPACES = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWPID | CLONE_NEWCGROUP;

/* What was decided, read before anything of the app is touched. */
struct exec {
	struct profile profile;
	struct plan_list join;
	const char *members;
	pid_t pid;
	int pidfd;
	int private_users; /* the app has a user namespace of its own */
	uid_t root;	   /* what root of the app is here */
};

static int is_member(const struct exec *e)
{
	FILE *file = fopen(e->members, "re");
	char line[LINE_BYTES], wanted[LINE_BYTES];
	int found = 0;

	if (file == NULL)
		fail_errno("%s", e->members);
	snprintf(wanted, sizeof wanted, "%d\n", (int)e->pid);
	while (!found && fgets(line, sizeof line, file) != NULL)
		found = strcmp(line, wanted) == 0;
	fclose(file);
	return found;
}

static int is_alive(const struct exec *e)
{
	return syscall(SYS_pidfd_send_signal, e->pidfd, 0, NULL, 0) == 0;
}

/*
 * A number may pass to another process at any time, so a descriptor of the process comes first: where that process
 * lives after the number was found in the app's group, it was the one that stood there.
 */
static void find_process(struct exec *e)
{
	e->pidfd = (int)syscall(SYS_pidfd_open, e->pid, 0);
	if (e->pidfd < 0)
		fail_errno("process %d", (int)e->pid);
	if (!is_member(e) || !is_alive(e))
		fail("process %d is none of the app; it has ended, or the pod has", (int)e->pid);
}

/* uid_map of proc(5): "0 BASE COUNT" in the pod's own user namespace, "0 0 ..." in that of the host. */
static void find_users(struct exec *e)
{
	char path[64];
	struct stat own, its;
	unsigned root;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/ns/user", (int)e->pid);
	if (stat("/proc/self/ns/user", &own) < 0 || stat(path, &its) < 0)
		fail_errno("%s", path);
	e->private_users = own.st_ino != its.st_ino;
	if (!e->private_users)
		return;
	snprintf(path, sizeof path, "/proc/%d/uid_map", (int)e->pid);
	file = fopen(path, "re");
	if (file == NULL || fscanf(file, " 0 %u", &root) != 1)
		fail_errno("%s", path);
	fclose(file);
	if (!is_alive(e))
		fail("process %d has ended", (int)e->pid);
	e->root = (uid_t)root;
}

/* The pseudo-terminal is the pod's own, so that its name means the same to the program. */
static void open_terminal(const struct exec *e, struct terminal *t)
{
	char path[64];
	int root;

	snprintf(path, sizeof path, "/proc/%d/root", (int)e->pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		fail_errno("%s", path);
	if (!is_alive(e))
		fail("process %d has ended", (int)e->pid);
	terminal_open(root, t);
	/* or nobody in the app's user namespace could own it */
	if (e->private_users && fchown(t->slave, e->root, (gid_t)-1) < 0)
		fail_errno("owner of the terminal");
	close(root);
}

static void use_terminal(const struct terminal *t)
{
	for (int fd = 0; fd < 3; fd++)
		if (dup2(t->slave, fd) < 0)
			fail_errno("standard stream %d", fd);
	if (ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
		fail_errno("controlling terminal");
}

static void __attribute__((noreturn)) become_program(struct exec *e, const struct terminal *t)
{
	fail_as("exec", EXIT_SETUP);
	if (setsid() < 0)
		fail_errno("setsid");
	if (t != NULL)
		use_terminal(t);
	if (syscall(SYS_close_range, 3, ~0U, 0) < 0)
		fail_errno("close_range");
	e->profile.terminal = t != NULL;
	e->profile.ends_with_parent = 1;
	profile_execute(&e->profile);
}

/* Below /proc of the app this process belongs to root of the host, and root of the pod may not write there. */
static void take_oom_score(struct exec *e)
{
	profile_set_oom_score(&e->profile);
	e->profile.oom_score_adj.count = 0;
}

/*
 * Joins the app, then makes the program a child of this process's parent: only a child is in the new PID namespace, and
 * only its own parent learns how it ends.
 */
static void __attribute__((noreturn)) join(struct exec *e, const struct terminal *t, int told)
{
	long pid;

	cgroups_join(e->join);
	if (e->private_users)
		take_oom_score(e);
	if (syscall(SYS_setns, e->pidfd, NAMESPACES | (e->private_users ? CLONE_NEWUSER : 0)) < 0)
		fail_errno("joining the app's namespaces");
	/* whoever comes from outside has all capabilities there and is nobody */
	if (e->private_users && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		fail_errno("becoming root of the pod");
	pid = syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
	if (pid < 0)
		fail_errno("starting the program");
	if (pid == 0)
		become_program(e, t);
	if (write(told, &pid, sizeof pid) != sizeof pid)
		fail_errno("telling of the program");
	_exit(0);
}

static pid_t start(struct exec *e, const struct terminal *t)
{
	int ends[2], wait_status;
	pid_t helper;
	long pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		fail_errno("pipe");
	helper = fork();
	if (helper < 0)
		fail_errno("fork");
	if (helper == 0)
		join(e, t, ends[1]);
	close(ends[1]);
	while (waitpid(helper, &wait_status, 0) < 0)
		if (errno != EINTR)
			fail_errno("waitpid");
	if (wait_status != 0 || read(ends[0], &pid, sizeof pid) != sizeof pid)
		_exit(EXIT_HOLDFAST); /* it has said why */
	close(ends[0]);
	return (pid_t)pid;
}

static void read_plan(const char *path, const char *pid, struct exec *e)
{
	int plan = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (plan < 0)
		fail_errno("%s", path);
	profile_read(plan, "argv", &e->profile);
	e->join = plan_read_list(plan, "cgroups.join");
	e->members = plan_read_text(plan, "cgroup-members");
	e->pid = (pid_t)plan_number(pid, MAX_PID, "process");
	close(plan);
}

int exec_main(int argc, char **argv)
{
	static struct exec e;
	struct terminal t;
	int terminal;

	fail_as("exec", EXIT_HOLDFAST);
	if (argc != 4)
		fail("wanted PROFILE PID STREAMS, got %d arguments", argc - 1);
	reset_signals();
	sealed_copy_of_self(argv - 1); /* with the name and mode that main() took off */
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		fail_errno("not dumpable");
	terminal = plan_choice(argv[3], "pass", "terminal", "streams");
	read_plan(argv[1], argv[2], &e);
	find_process(&e);
	find_users(&e);
	if (!terminal)
		return relay_signals(start(&e, NULL));
	open_terminal(&e, &t);
	return relay_terminal(start(&e, &t), &t);
}
