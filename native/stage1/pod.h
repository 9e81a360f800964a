#ifndef HOLDFAST_POD_H
#define HOLDFAST_POD_H

#include "outlet.h"
#include "plan.h"
#include "status.h"

#include <stdint.h>
#include <sys/types.h>

/*
 * The life of the pod's apps. An app goes from `waiting` by `pre-start` to `running`, then by `post-stop` to `ended`, or
 * by `restarting` to the beginning. Each app waits until the one before it was executed. An app that ends with a status
 * other than 0 and is not restarted stops the pod, and its status is the pod's.
 */
enum restart { RESTART_NEVER, RESTART_ON_FAILURE, RESTART_ALWAYS };

struct app {
	const char *name;
	pid_t pid;  /* of what runs now, 0 where nothing does */
	int report; /* spawn()'s pipe, -1 where nothing is awaited */
	int has_pre_start, has_post_stop;
	enum restart restart;
	unsigned max_restarts;
	int64_t delay_ms, longest_delay_ms;
	int64_t restart_at_ms; /* monotonic, in RESTARTING */
	int64_t kill_at_ms;    /* monotonic, 0: no deadline */
	int oom_events;	       /* descriptor, or -1 */
	uint64_t oom_before;
	struct app_status status;
};

struct pod {
	struct app apps[PLAN_MAX_APPS];
	size_t app_count, next; /* `next` is the app to be started */
	const struct outlet *outlet;
	int64_t stop_timeout_ms, ready_at_ms;
	int first_failure, stopping;
};

/* Reads the plan below /s1/plan. */
void pod_read(struct pod *pod);

/*
 * The whole life of the pod, as /s1/plan says and told to `outlet`. For PID 1 of the pod. Returns the status of the app
 * that failed first, or 0.
 */
int pod_run(const struct outlet *outlet);

/* Starts the next app; with `pod->next` at the end, the pod is ready. */
void pod_start_next(struct pod *pod);

/* The app's report can be read: its program was executed, or could not be. */
void pod_take_report(struct pod *pod, struct app *app);

/* Reaps what has ended, orphans too. */
void pod_reap(struct pod *pod);

/* SIGTERM to every app; SIGKILL follows when the time is up. */
void pod_stop(struct pod *pod);

/* Does what is due, and returns the milliseconds until something is due again, -1 for nothing. */
int pod_tick(struct pod *pod);

int pod_is_over(const struct pod *pod);

#endif
