#include "janitor.h"

#include "cgroups.h"
#include "fail.h"
#include "network.h"
#include "plan.h"
#include "undo.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Descriptors of a janitor: its messages, the pod's network directory, the pod's own directory. */
enum { FD_LOG = 2, FD_NETWORK = 3, FD_POD = 4, FD_FIRST_FREE = 5 };

static int open_directory(int at, const char *path)
{
	int fd = openat(at, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		fail_errno("%s", path);
	return fd;
}

static void lock(int fd, int how, const char *what)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR)
			fail_errno("%s", what);
}

/* Its standard streams are the caller's, who may wait for their end; what it has to say goes to the pod's directory. */
static void leave_caller(int pod, int network)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int log = openat(network, "log", O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
	sigset_t all;

	if (null < 0 || log < 0)
		fail_errno("log of the pod's network");
	/* above the fixed numbers first, so that moving one does not overwrite another */
	pod = fcntl(pod, F_DUPFD_CLOEXEC, FD_FIRST_FREE);
	network = fcntl(network, F_DUPFD_CLOEXEC, FD_FIRST_FREE);
	log = fcntl(log, F_DUPFD_CLOEXEC, FD_FIRST_FREE);
	null = fcntl(null, F_DUPFD_CLOEXEC, FD_FIRST_FREE);
	if (pod < 0 || network < 0 || log < 0 || null < 0)
		fail_errno("copying descriptors");
	if (setsid() < 0 || chdir("/") < 0)
		fail_errno("leaving the caller's session");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL); /* who ends the pod's caller does not mean the one that cleans up */
	if (dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(log, FD_LOG) < 0 || dup3(network, FD_NETWORK, O_CLOEXEC) < 0 ||
	    dup3(pod, FD_POD, O_CLOEXEC) < 0)
		fail_errno("descriptors");
	if (syscall(SYS_close_range, FD_FIRST_FREE, ~0U, 0) < 0)
		fail_errno("close_range");
}

/* The mark goes last, and only when nothing is left to be done. Without it somebody else was here before. */
static int undo(int network)
{
	const char *namespace;
	int failed;

	lock(network, LOCK_EX, "the lock of the pod's network");
	if (faccessat(network, "namespace", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	namespace = plan_read_text(network, "namespace");
	failed = undo_steps(network, namespace);
	if (network_remove_namespace(namespace) < 0)
		fail_errno("removing the network namespace %s", namespace);
	if (failed > 0)
		return EXIT_HOLDFAST;
	if (unlinkat(network, "namespace", 0) < 0 && errno != ENOENT)
		fail_errno("removing the mark of the pod's network");
	return 0;
}

static void clean_up_later(int network)
{
	/* the caller's groups end with the caller, and with them what is in them */
	cgroups_make(plan_read_list(network, "cgroups"));
	cgroups_join(plan_read_list(network, "cgroups.join"));
	lock(FD_POD, LOCK_SH, "the pod's lock");
	close(FD_POD); /* granted: the pod has ended. Others may want it for themselves now */
	_exit(undo(FD_NETWORK));
}

int janitor_main(int argc, char **argv)
{
	int pod, network;
	pid_t pid;

	fail_as("network", EXIT_HOLDFAST);
	if (argc != 2)
		fail("wanted POD");
	pod = open_directory(AT_FDCWD, argv[1]);
	network = open_directory(pod, "network");
	network_make_namespace(plan_read_text(network, "namespace"));
	pid = fork(); /* whoever waits for this process does not wait for the janitor */
	if (pid < 0)
		fail_errno("fork");
	if (pid > 0)
		return 0;
	leave_caller(pod, network);
	clean_up_later(FD_NETWORK);
	return EXIT_HOLDFAST;
}

int undo_main(int argc, char **argv)
{
	fail_as("network", EXIT_HOLDFAST);
	if (argc != 2)
		fail("wanted POD");
	return undo(open_directory(open_directory(AT_FDCWD, argv[1]), "network"));
}
