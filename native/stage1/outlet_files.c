#include "outlet_files.h"

#include "fail.h"
#include "logs.h"
#include "pod.h"
#include "stream_plan.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { FD_LIVENESS = 4 };

static struct {
	struct stream_plan streams;
	int directory, null, supervised;
	size_t app_count;
	struct log *logs[PLAN_MAX_APPS];
} files;

/*
 * The supervisor made the console init's own controlling terminal, and taking it from there asks for CAP_SYS_ADMIN on the
 * host, which a pod with private users does not have. The SIGHUP that comes with it is blocked.
 */
static void leave_terminal(void)
{
	if (ioctl(STDIN_FILENO, TIOCNOTTY) < 0 && errno != ENOTTY)
		fail_errno("giving up the terminal");
}

static void open_logs(const struct pod *pod)
{
	int directory = open("/s1/log", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (directory < 0)
		fail_errno("/s1/log");
	for (size_t i = 0; i < pod->app_count; i++)
		files.logs[i] = log_open(directory, pod->apps[i].name, files.streams.log_bytes, files.streams.log_files);
}

static void open_files(struct pod *pod)
{
	files.supervised = 1;
	files.app_count = pod->app_count;
	files.directory = open("/s1/status", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	files.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (files.directory < 0 || files.null < 0)
		fail_errno("%s", files.null < 0 ? "/dev/null" : "/s1/status");
	stream_plan_read("/s1/plan/streams", pod->app_count, &files.streams);
	if (files.streams.kind == STREAMS_LOG)
		open_logs(pod);
	if (files.streams.kind == STREAMS_TERMINAL)
		leave_terminal();
}

static void write_app(size_t app, const char *name, const struct app_status *status)
{
	(void)app;
	status_write(files.directory, name, status);
}

static void write_exit(size_t app, const char *name, int exit_status)
{
	(void)app;
	status_write_exit(files.directory, name, exit_status);
}

static void write_pod(enum pod_phase phase, int64_t ready_at_ms)
{
	status_write_pod(files.directory, phase, ready_at_ms);
}

static void streams(size_t app, int is_main, struct streams *s)
{
	int own_input = is_main && files.app_count == 1 && files.streams.kind != STREAMS_LOG;

	*s = (struct streams){.fd = {own_input ? -1 : files.null, -1, -1}};
	if (files.streams.kind == STREAMS_LOG) {
		s->fd[1] = log_writer(files.logs[app], 0);
		s->fd[2] = log_writer(files.logs[app], 1);
	}
	s->terminal = own_input && files.streams.kind == STREAMS_TERMINAL;
}

static void drain(size_t app)
{
	if (files.logs[app] != NULL)
		log_drain(files.logs[app]);
}

static size_t wait_for(struct pollfd *at)
{
	*at++ = (struct pollfd){.fd = files.supervised ? FD_LIVENESS : -1};
	if (files.streams.kind != STREAMS_LOG)
		return 1;
	for (size_t i = 0; i < files.app_count; i++)
		for (int stream = 0; stream < 2; stream++)
			*at++ = (struct pollfd){.fd = log_reader(files.logs[i], stream), .events = POLLIN};
	return 1 + 2 * files.app_count;
}

static void take(struct pod *pod, const struct pollfd *at)
{
	if (files.streams.kind == STREAMS_LOG)
		for (size_t i = 0; i < 2 * files.app_count; i++)
			if (at[1 + i].revents != 0)
				log_take(files.logs[i / 2], (int)(i % 2));
	if (at[0].revents != 0) { /* POLLHUP: the supervisor is gone */
		files.supervised = 0;
		pod_stop(pod);
	}
}

const struct outlet outlet_files = {
	.open = open_files,
	.app = write_app,
	.app_exit = write_exit,
	.pod = write_pod,
	.streams = streams,
	.drain = drain,
	.wait_for = wait_for,
	.take = take,
};
