#ifndef HOLDFAST_STATUS_H
#define HOLDFAST_STATUS_H

#include <stdint.h>
#include <sys/types.h>

/* What status/<app>.json says (README.md). */
struct app_status {
	const char *phase, *during; /* `during` is NULL where nothing has ended yet */
	pid_t pid;
	unsigned restarts;
	uint64_t oom_kills;
	int64_t started_at_ms, finished_at_ms; /* 0: not yet */
	int exit_status, signal;
};

/* Replaces status/<app>.json as a whole, so that a reader finds the old or the new. Where that fails it says so. */
void status_write(int directory, const char *app, const struct app_status *status);

/* Writes status/<app>, the decimal exit status, so that it outlasts a power cut. */
void status_write_exit(int directory, const char *app, int exit_status);

/* Replaces status/_pod.json; `ready_at_ms` is 0 while not every app was executed. */
void status_write_pod(int directory, const char *phase, int64_t ready_at_ms);

#endif
