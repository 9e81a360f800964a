#ifndef HOLDFAST_STATUS_H
#define HOLDFAST_STATUS_H

#include <stdint.h>
#include <sys/types.h>

enum phase { WAITING, PRE_START, RUNNING, POST_STOP, RESTARTING, ENDED };
enum during { DURING_NOTHING, DURING_PRE_START, DURING_MAIN, DURING_POST_STOP }; /* NOTHING has ended yet */
enum pod_phase { POD_STARTING, POD_RUNNING, POD_STOPPING, POD_ENDED };

/* What status/<app>.json says (README.md). */
struct app_status {
	enum phase phase;
	enum during during; /* whose exit status it is */
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
void status_write_pod(int directory, enum pod_phase phase, int64_t ready_at_ms);

/* Replaces status/_vm.json: how a virtual machine ended, a word of stage1/flavours/kvm/README.md, and what it said last. */
void status_write_vm(int directory, const char *end, const char *message);

#endif
