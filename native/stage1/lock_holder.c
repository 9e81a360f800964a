#include "lock_holder.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HELD, ENDS, FIRST_FREE };

/* Nothing of the caller's but the lock: no standard streams that somebody waits to be closed, no terminal that interrupts it. */
static void __attribute__((noreturn)) hold(int lock, int qemu)
{
	struct pollfd at = {.fd = ENDS, .events = POLLIN};
	sigset_t all;

	sigfillset(&all);
	lock = fcntl(lock, F_DUPFD, FIRST_FREE);
	qemu = fcntl(qemu, F_DUPFD, FIRST_FREE);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0 || setsid() < 0 || lock < 0 || qemu < 0 || dup2(lock, HELD) < 0 ||
	    dup2(qemu, ENDS) < 0 || syscall(SYS_close_range, FIRST_FREE, ~0U, 0) < 0)
		_exit(EXIT_HOLDFAST);
	while (poll(&at, 1, -1) < 0 && errno == EINTR)
		;
	_exit(0);
}

void lock_holder_start(int lock, pid_t qemu)
{
	int ends = (int)syscall(SYS_pidfd_open, qemu, 0);
	pid_t pid = ends < 0 ? -1 : fork();

	if (pid < 0)
		fail_errno("holding the pod's lock");
	if (pid == 0)
		hold(lock, ends);
	close(ends);
}
