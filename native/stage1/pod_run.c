#include "fail.h"
#include "masks.h"
#include "pod.h"

#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Waits for signals, the report of each app, and what the outlet waits for. */
static void turn(struct pod *pod, int signals)
{
	static struct pollfd wait_for[1 + PLAN_MAX_APPS + OUTLET_MAX_WAITS];
	int timeout = pod_tick(pod);
	struct pollfd *reports = wait_for + 1, *others = reports + pod->app_count;
	size_t count;

	wait_for[0] = (struct pollfd){.fd = signals, .events = POLLIN};
	for (size_t i = 0; i < pod->app_count; i++)
		reports[i] = (struct pollfd){.fd = pod->apps[i].report, .events = POLLIN};
	count = pod->outlet->wait_for(others);
	if (poll(wait_for, 1 + pod->app_count + count, timeout) < 0) {
		if (errno != EINTR)
			fail_errno("poll");
		return;
	}
	/* before the ends of processes: both may be there, and the report says whether the next app may start */
	for (size_t i = 0; i < pod->app_count; i++)
		if (reports[i].revents != 0)
			pod_take_report(pod, &pod->apps[i]);
	pod->outlet->take(pod, others);
	take_signals(pod, signals);
}

int pod_run(const struct outlet *outlet)
{
	static struct pod pod;
	int signals = handled_signals();

	umask(022);
	masks_apply();
	pod.outlet = outlet;
	pod_read(&pod);
	outlet->open(&pod);
	outlet->pod(POD_STARTING, 0);
	pod_start_next(&pod);
	while (!pod_is_over(&pod))
		turn(&pod, signals);
	outlet->pod(POD_ENDED, pod.ready_at_ms);
	return pod.first_failure;
}
