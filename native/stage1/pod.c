#include "pod.h"

#include "clock.h"
#include "fail.h"
#include "leftovers.h"
#include "spawn.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { KILL_AGAIN_MS = 1000 };

static size_t position(const struct pod *pod, const struct app *app)
{
	return (size_t)(app - pod->apps);
}

static void enter(struct pod *pod, struct app *app, enum phase phase)
{
	app->status.phase = phase;
	app->status.pid = phase == RUNNING ? app->pid : 0;
	pod->outlet->app(position(pod, app), app->name, &app->status);
}

static void run(struct pod *pod, struct app *app, enum phase phase, const char *program)
{
	struct spawn what = {.app = app->name, .program = program};

	pod->outlet->streams(position(pod, app), phase == RUNNING, &what.streams);
	app->pid = spawn(&what, &app->report);
	app->kill_at_ms = phase == POST_STOP ? monotonic_ms() + pod->stop_timeout_ms : 0;
	if (phase == RUNNING)
		app->status.started_at_ms = wall_ms();
	enter(pod, app, phase);
}

static void begin(struct pod *pod, struct app *app)
{
	if (app->has_pre_start)
		run(pod, app, PRE_START, "pre-start");
	else
		run(pod, app, RUNNING, "argv");
}

void pod_start_next(struct pod *pod)
{
	if (pod->stopping)
		return;
	if (pod->next < pod->app_count) {
		begin(pod, &pod->apps[pod->next]);
	} else if (pod->ready_at_ms == 0) {
		pod->ready_at_ms = wall_ms();
		pod->outlet->pod(POD_RUNNING, pod->ready_at_ms);
	}
}

/* The app that all wait for has been executed, or has ended without. */
static void settled(struct pod *pod, const struct app *app)
{
	if (pod->next < pod->app_count && app == &pod->apps[pod->next]) {
		pod->next++;
		pod_start_next(pod);
	}
}

void pod_take_report(struct pod *pod, struct app *app)
{
	char byte;
	ssize_t n = read(app->report, &byte, 1);

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	close(app->report);
	app->report = -1;
	if (n == 0 && app->status.phase == RUNNING) /* else its end follows, and says why */
		settled(pod, app);
}

void pod_stop(struct pod *pod)
{
	if (pod->stopping)
		return;
	pod->stopping = 1;
	pod->outlet->pod(POD_STOPPING, pod->ready_at_ms);
	for (size_t i = 0; i < pod->app_count; i++) {
		struct app *app = &pod->apps[i];
		int is_over = app->status.phase == RESTARTING; /* as it ended last */

		if (app->status.phase == WAITING || is_over)
			enter(pod, app, ENDED);
		if (is_over)
			pod->outlet->app_exit(i, app->name, app->status.exit_status);
		if (app->status.phase == PRE_START || app->status.phase == RUNNING) {
			kill(app->pid, SIGTERM);
			app->kill_at_ms = monotonic_ms() + pod->stop_timeout_ms;
		}
	}
}

static int is_restarted(const struct pod *pod, const struct app *app)
{
	if (pod->stopping || app->status.restarts >= app->max_restarts)
		return 0;
	return app->restart == RESTART_ALWAYS || (app->restart == RESTART_ON_FAILURE && app->status.exit_status != 0);
}

/* Everything of the app has run: again, or that was it. */
static void conclude(struct pod *pod, struct app *app)
{
	pod->outlet->drain(position(pod, app));
	if (is_restarted(pod, app)) {
		app->restart_at_ms = monotonic_ms() + app->delay_ms;
		app->delay_ms = app->delay_ms * 2 < app->longest_delay_ms ? app->delay_ms * 2 : app->longest_delay_ms;
		app->status.restarts++;
		enter(pod, app, RESTARTING);
		settled(pod, app);
		return;
	}
	enter(pod, app, ENDED);
	pod->outlet->app_exit(position(pod, app), app->name, app->status.exit_status);
	if (app->status.exit_status != 0) {
		if (pod->first_failure == 0)
			pod->first_failure = app->status.exit_status;
		pod_stop(pod);
	}
	settled(pod, app);
}

static void note_end(struct app *app, enum during during, int wait_status)
{
	app->status.during = during;
	app->status.signal = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) : 0;
	app->status.exit_status = app->status.signal != 0 ? 128 + app->status.signal : WEXITSTATUS(wait_status);
	app->status.finished_at_ms = wall_ms();
}

static void ended(struct pod *pod, struct app *app, int wait_status)
{
	enum phase phase = app->status.phase;

	app->pid = 0;
	app->kill_at_ms = 0;
	if (app->report >= 0)
		close(app->report);
	app->report = -1;
	/* what the program left running ends with it; nobody would end it before the pod does, and a restart finds its ports free */
	leftovers_kill(app->name);
	app->status.oom_kills = oom_kills(app->oom_events) - app->oom_before;
	switch (phase) {
	case PRE_START:
		if (wait_status == 0 && !pod->stopping) {
			run(pod, app, RUNNING, "argv");
			return;
		}
		note_end(app, DURING_PRE_START, wait_status);
		break;
	case RUNNING:
		note_end(app, DURING_MAIN, wait_status);
		if (app->has_post_stop) {
			run(pod, app, POST_STOP, "post-stop");
			return;
		}
		break;
	default: /* a handler that fails after an app that did not is what went wrong */
		if (wait_status != 0 && app->status.exit_status == 0)
			note_end(app, DURING_POST_STOP, wait_status);
	}
	conclude(pod, app);
}

void pod_reap(struct pod *pod)
{
	int wait_status;
	pid_t pid;

	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		size_t i = 0;

		while (i < pod->app_count && pod->apps[i].pid != pid)
			i++;
		if (i < pod->app_count)
			ended(pod, &pod->apps[i], wait_status);
		else if (pod->outlet->reaped != NULL)
			pod->outlet->reaped(pid, wait_status);
	}
}

static void kill_late(struct app *app, int64_t now)
{
	leftovers_kill(app->name);
	kill(app->pid, SIGKILL);
	app->kill_at_ms = now + KILL_AGAIN_MS;
}

int pod_tick(struct pod *pod)
{
	int64_t now = monotonic_ms(), next = -1;

	for (size_t i = 0; i < pod->app_count; i++) {
		struct app *app = &pod->apps[i];
		int64_t due;

		if (app->status.phase == RESTARTING && now >= app->restart_at_ms)
			begin(pod, app);
		if (app->pid > 0 && app->kill_at_ms != 0 && now >= app->kill_at_ms)
			kill_late(app, now);
		due = app->status.phase == RESTARTING ? app->restart_at_ms : app->pid > 0 ? app->kill_at_ms : 0;
		if (due != 0 && (next < 0 || due < next))
			next = due;
	}
	return next < 0 ? -1 : next > now ? (int)(next - now) : 0;
}

int pod_is_over(const struct pod *pod)
{
	for (size_t i = 0; i < pod->app_count; i++)
		if (pod->apps[i].status.phase != ENDED)
			return 0;
	return 1;
}
