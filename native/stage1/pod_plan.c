#include "fail.h"
#include "leftovers.h"
#include "pod.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_STOP_TIMEOUT_MS = 24 * 3600 * 1000, MAX_RESTARTS = 1000000000 };

static int open_plan(const char *app)
{
	char path[256];
	int fd;

	snprintf(path, sizeof path, "/s1/plan/apps/%s", app);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		fail_errno("%s", path);
	return fd;
}

static void read_restart(int plan, struct app *app)
{
	struct plan_list r = plan_read_list(plan, "restart");

	if (r.count != 4)
		fail("restart: %zu items, wanted 4", r.count);
	if (strcmp(r.item[0], "never") != 0)
		app->restart = plan_choice(r.item[0], "on-failure", "always", "restart") ? RESTART_ALWAYS : RESTART_ON_FAILURE;
	app->max_restarts = app->restart == RESTART_NEVER ? 0 : (unsigned)plan_number(r.item[1], MAX_RESTARTS, "restarts");
	app->delay_ms = (int64_t)plan_number(r.item[2], MAX_STOP_TIMEOUT_MS, "delay");
	app->longest_delay_ms = (int64_t)plan_number(r.item[3], MAX_STOP_TIMEOUT_MS, "longest delay");
}

static void read_app(struct app *app, const char *name)
{
	char path[256];
	int plan = open_plan(name);

	app->name = name;
	app->report = -1;
	app->has_pre_start = plan_read_list(plan, "pre-start").count > 0;
	app->has_post_stop = plan_read_list(plan, "post-stop").count > 0;
	read_restart(plan, app);
	app->oom_events = -1;
	if (plan_read_list(plan, "oom-events").count > 0) {
		snprintf(path, sizeof path, "/s1/cgroups/%s/oom", name);
		app->oom_events = open(path, O_RDONLY | O_CLOEXEC);
		if (app->oom_events < 0)
			fail_errno("%s", path);
		app->oom_before = oom_kills(app->oom_events);
	}
	close(plan);
}

void pod_read(struct pod *pod)
{
	struct plan_list names = plan_read_apps(AT_FDCWD, "/s1/plan/apps.list");

	pod->stop_timeout_ms = (int64_t)plan_read_number(AT_FDCWD, "/s1/plan/stop-timeout-ms", MAX_STOP_TIMEOUT_MS);
	pod->app_count = names.count;
	for (size_t i = 0; i < names.count; i++)
		read_app(&pod->apps[i], names.item[i]);
}
