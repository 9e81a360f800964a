#include "relay.h"

#include "fail.h"
#include "user_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { CHUNK_BYTES = 16 * 1024 };

static const int PASSED_ON[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2};

int relay_watch_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGWINCH);
	for (size_t i = 0; i < sizeof PASSED_ON / sizeof *PASSED_ON; i++)
		sigaddset(&set, PASSED_ON[i]);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		fail_errno("sigprocmask");
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fail_errno("signalfd");
	return fd;
}

static void copy_size(int master)
{
	struct winsize size;

	if (user_terminal_size(&size) == 0 && ioctl(master, TIOCSWINSZ, &size) < 0)
		warn_errno("size of the terminal");
}

/* Returns the child's status, or -1 while it runs. `master` is -1 where there is no terminal. */
static int take_signals(int fd, pid_t pid, int master)
{
	struct signalfd_siginfo info;
	int wait_status;

	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGWINCH && master >= 0)
			copy_size(master);
		else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGWINCH)
			kill(pid, (int)info.ssi_signo);
	}
	if (waitpid(pid, &wait_status, WNOHANG) != pid)
		return -1;
	return WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);
}

int relay_signals(pid_t pid)
{
	struct pollfd signals = {.fd = relay_watch_signals(), .events = POLLIN};
	int status;

	/* looked at first: it may have ended before its signal was watched for */
	while ((status = take_signals(signals.fd, pid, -1)) < 0)
		if (poll(&signals, 1, -1) < 0 && errno != EINTR)
			fail_errno("poll");
	return status;
}

static int write_all(int fd, const char *bytes, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, bytes + done, size - done);
		struct pollfd room = {.fd = fd, .events = POLLOUT};

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			poll(&room, 1, -1);
		else if (errno != EINTR)
			return -1;
	}
	return 0;
}

/* Returns 0 when there will be no more, or nobody to take it. */
static int carry(int from, int to)
{
	static char bytes[CHUNK_BYTES];
	ssize_t n = read(from, bytes, sizeof bytes);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 1;
	return n > 0 && write_all(to, bytes, (size_t)n) == 0;
}

static int carry_until_end(pid_t pid, int master)
{
	struct pollfd wait_for[3] = {{.fd = relay_watch_signals(), .events = POLLIN},
				     {.fd = master, .events = POLLIN},
				     {.fd = STDIN_FILENO, .events = POLLIN}};
	int status = take_signals(wait_for[0].fd, pid, master);

	while (status < 0) {
		if (poll(wait_for, 3, -1) < 0 && errno != EINTR)
			fail_errno("poll");
		if (wait_for[1].revents != 0 && !carry(master, STDOUT_FILENO))
			wait_for[1].fd = -1;
		if (wait_for[2].revents != 0 && !carry(STDIN_FILENO, master))
			wait_for[2].fd = -1;
		status = take_signals(wait_for[0].fd, pid, master);
	}
	/* what it said last; others may keep the terminal open, so no longer than there is something */
	while (wait_for[1].fd >= 0 && poll(&wait_for[1], 1, 0) > 0 && carry(master, STDOUT_FILENO))
		;
	return status;
}

int relay_terminal(pid_t pid, const struct terminal *t)
{
	int status;

	close(t->slave);
	copy_size(t->master);
	user_terminal_raw();
	status = carry_until_end(pid, t->master);
	user_terminal_restore();
	return status;
}
