#ifndef HOLDFAST_GUEST_STATE_H
#define HOLDFAST_GUEST_STATE_H

#include "frames.h"
#include "plan.h"
#include "status.h"

#include <stdint.h>

enum { FAILURE_BYTES = 1024 };

/* What the guest has said of its apps on the control port, and of the ends of their streams. */
struct guest_app {
	const char *name;
	int has_exit, ended_streams; /* bit 0: OUT, bit 1: ERR */
	struct app_status status;
};

struct guest_state {
	struct guest_app apps[PLAN_MAX_APPS];
	size_t app_count;
	int status_directory;
	int greeted;
	enum pod_phase phase;
	int result; /* the pod's status, -1 while there is none */
	int has_failure;
	char failure[FAILURE_BYTES + 1];
	int64_t ready_at_ms;
};

void guest_state_init(struct guest_state *guest, struct plan_list names, int status_directory);

/*
 * Takes a frame of the control port and writes status files (README.md), with times of this machine's clock. Returns
 * NULL, or what is wrong with it: the guest is not trusted, and one that talks nonsense is not talked to any more.
 */
const char *guest_state_take(struct guest_state *guest, const struct frame *frame);

/* An empty OUT or ERR: nothing more comes of that stream. */
void guest_state_end_stream(struct guest_state *guest, size_t app, int stream);

/* Whether the result and the ends of all streams have come, so that powering off loses nothing. */
int guest_state_is_complete(const struct guest_state *guest);

/* The pod has ended, whatever the guest said last. */
void guest_state_write_end(const struct guest_state *guest);

#endif
