#include "init.h"

#include "app.h"
#include "fail.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { FD_LOCK = 3, FD_LIVENESS = 4, MAX_STOP_TIMEOUT_MS = 24 * 3600 * 1000, KILL_AGAIN_MS = 1000 };

struct app {
	const char *name;
	pid_t pid; /* 0: not running */
};

struct pod {
	struct app apps[PLAN_MAX_APPS];
	size_t app_count, running;
	int first_failure;
	int stopping;
	int64_t kill_at_ms;
	int64_t stop_timeout_ms;
	int status_directory;
};

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The lock must not outlive PID 1 in an app, nor must an app see the pipe. */
static void keep_from_apps(int fd, const char *what)
{
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		fail_errno("%s: descriptor %d", what, fd);
}

static void mask_file(const char *path)
{
	if (access(path, F_OK) == 0 && mount("/dev/null", path, NULL, MS_BIND, NULL) < 0)
		fail_errno("masking %s", path);
}

/* What the supervisor leaves readable and no app needs. Apps inherit these mounts with /proc and /sys. */
static void mask_host_details(void)
{
	mask_file("/proc/keys");
	mask_file("/proc/timer_list");
	if (access("/sys/firmware", F_OK) == 0 &&
	    mount("tmpfs", "/sys/firmware", "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0555") < 0)
		fail_errno("masking /sys/firmware");
}

/* Written under another name and renamed, so that a reader finds the whole number or nothing. */
static void write_status(int directory, const char *name, int status)
{
	char temporary[PLAN_MAX_NAME_BYTES + 8], text[16];
	int length = snprintf(text, sizeof text, "%d", status);
	int fd;

	snprintf(temporary, sizeof temporary, ".%s.new", name);
	fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	/* the pod still ends with the right exit status where its disk is full */
	if (fd < 0 || write(fd, text, (size_t)length) != length || fsync(fd) < 0 ||
	    renameat(directory, temporary, directory, name) < 0 || fsync(directory) < 0)
		warn_errno("status of %s", name);
	if (fd >= 0)
		close(fd);
}

static void start_app(struct pod *pod, struct app *app)
{
	app->pid = fork();
	if (app->pid < 0)
		fail_errno("starting %s", app->name);
	if (app->pid == 0)
		app_become(app->name);
	pod->running++;
}

static void stop(struct pod *pod)
{
	if (pod->stopping)
		return;
	pod->stopping = 1;
	pod->kill_at_ms = now_ms() + pod->stop_timeout_ms;
	for (size_t i = 0; i < pod->app_count; i++)
		if (pod->apps[i].pid > 0)
			kill(pod->apps[i].pid, SIGTERM);
}

static void ended(struct pod *pod, struct app *app, int wait_status)
{
	int status = WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status);

	app->pid = 0;
	pod->running--;
	write_status(pod->status_directory, app->name, status);
	if (status == 0)
		return;
	if (pod->first_failure == 0)
		pod->first_failure = status;
	stop(pod);
}

/* Orphans of the apps come here too and are only reaped. */
static void reap(struct pod *pod)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0)
		for (size_t i = 0; i < pod->app_count; i++)
			if (pod->apps[i].pid == pid)
				ended(pod, &pod->apps[i], wait_status);
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

static void take_signals(struct pod *pod, int fd)
{
	struct signalfd_siginfo info;

	while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap(pod);
		else
			stop(pod);
	}
}

static int milliseconds_left(const struct pod *pod)
{
	int64_t left = pod->kill_at_ms - now_ms();

	if (!pod->stopping)
		return -1;
	return left > 0 ? (int)left : 0;
}

static void run(struct pod *pod, int signals)
{
	struct pollfd wait_for[2] = {{.fd = signals, .events = POLLIN}, {.fd = FD_LIVENESS, .events = 0}};

	while (pod->running > 0) {
		if (poll(wait_for, 2, milliseconds_left(pod)) < 0 && errno != EINTR)
			fail_errno("poll");
		if (wait_for[1].revents != 0) { /* POLLHUP: the supervisor is gone */
			wait_for[1].fd = -1;
			stop(pod);
		}
		take_signals(pod, signals);
		if (pod->stopping && now_ms() >= pod->kill_at_ms) {
			kill(-1, SIGKILL); /* all but PID 1 */
			pod->kill_at_ms = now_ms() + KILL_AGAIN_MS;
		}
	}
}

int init_main(int argc, char **argv)
{
	static struct pod pod;
	struct plan_list names;
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
	mask_host_details();
	names = plan_read_apps(AT_FDCWD, "/s1/plan/apps.list");
	pod.stop_timeout_ms = (int64_t)plan_read_number(AT_FDCWD, "/s1/plan/stop-timeout-ms", MAX_STOP_TIMEOUT_MS);
	pod.status_directory = open("/s1/status", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pod.status_directory < 0)
		fail_errno("/s1/status");
	pod.app_count = names.count;
	for (size_t i = 0; i < names.count; i++) {
		pod.apps[i].name = names.item[i];
		start_app(&pod, &pod.apps[i]);
	}
	run(&pod, signals);
	return pod.first_failure;
}
