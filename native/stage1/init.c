#include "init.h"

#include "fail.h"
#include "masks.h"
#include "pod.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FD_LOCK = 3, FD_LIVENESS = 4 };
/* What is waited for: signals and liveness, then of each app its report and its two streams. */
enum { SIGNALS, LIVENESS, FIRST_APP, PER_APP = 3 };

/* The lock must not outlive PID 1 in an app, nor must an app see the pipe. */
static void keep_from_apps(int fd, const char *what)
{
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		fail_errno("%s: descriptor %d", what, fd);
}

static int handled_signals(void)
{
	sigset_t handled, all;
	int fd;

	sigemptyset(&handled);
	sigaddset(&handled, SIGCHLD);
	sigaddset(&handled, SIGTERM);
	sigaddset(&handled, SIGINT);
	sigfillset(&all);
	if (sigprocmask(SIG_SETMASK, &all, NULL) < 0)
		fail_errno("sigprocmask");
	fd = signalfd(-1, &handled, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0)
		fail_errno("signalfd");
	return fd;
}

/*
 * The supervisor made the console init's own controlling terminal, and taking it from there asks for CAP_SYS_ADMIN on the
 * host, which a pod with private users does not have. The SIGHUP that comes with it is blocked.
 */
static void leave_terminal(void)
{
	if (ioctl(STDIN_FILENO, TIOCNOTTY) < 0 && errno != ENOTTY)
		fail_errno("giving up the terminal");
}

static void take_signals(struct pod *pod, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			pod_reap(pod);
		else
			pod_stop(pod);
	}
}

static void wait_for_app(const struct app *app, struct pollfd *at)
{
	at[0] = (struct pollfd){.fd = app->report, .events = POLLIN};
	for (int i = 0; i < 2; i++)
		at[1 + i] = (struct pollfd){.fd = app->log == NULL ? -1 : log_reader(app->log, i), .events = POLLIN};
}

/* Reports come before the ends of processes: both may be there, and the report says whether the next app may start. */
static void take_from_app(struct pod *pod, struct app *app, const struct pollfd *at)
{
	if (at[0].revents != 0)
		pod_take_report(pod, app);
	for (int i = 0; i < 2; i++)
		if (at[1 + i].revents != 0)
			log_take(app->log, i);
}

static void run(struct pod *pod, int signals)
{
	static struct pollfd wait_for[FIRST_APP + PER_APP * PLAN_MAX_APPS];
	int supervised = 1;

	while (!pod_is_over(pod)) {
		int timeout = pod_tick(pod);

		wait_for[SIGNALS] = (struct pollfd){.fd = signals, .events = POLLIN};
		wait_for[LIVENESS] = (struct pollfd){.fd = supervised ? FD_LIVENESS : -1};
		for (size_t i = 0; i < pod->app_count; i++)
			wait_for_app(&pod->apps[i], &wait_for[FIRST_APP + PER_APP * i]);
		if (poll(wait_for, FIRST_APP + PER_APP * pod->app_count, timeout) < 0) {
			if (errno != EINTR)
				fail_errno("poll");
			continue;
		}
		for (size_t i = 0; i < pod->app_count; i++)
			take_from_app(pod, &pod->apps[i], &wait_for[FIRST_APP + PER_APP * i]);
		if (wait_for[LIVENESS].revents != 0) { /* POLLHUP: the supervisor is gone */
			supervised = 0;
			pod_stop(pod);
		}
		take_signals(pod, signals);
	}
}

int init_main(int argc, char **argv)
{
	static struct pod pod;
	int signals;

	(void)argc;
	(void)argv;
	fail_as("init", EXIT_HOLDFAST);
	if (getpid() != 1)
		fail("this mode is for PID 1 of a pod");
	keep_from_apps(FD_LOCK, "pod lock");
	keep_from_apps(FD_LIVENESS, "liveness pipe");
	signals = handled_signals();
	umask(022);
	masks_apply();
	pod_read(&pod);
	if (pod.streams == STREAMS_TERMINAL)
		leave_terminal();
	status_write_pod(pod.status_directory, "starting", 0);
	pod_start_next(&pod);
	run(&pod, signals);
	status_write_pod(pod.status_directory, "ended", pod.ready_at_ms);
	return pod.first_failure;
}
