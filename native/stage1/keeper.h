#ifndef HOLDFAST_KEEPER_H
#define HOLDFAST_KEEPER_H

#include "frames.h"
#include "plan.h"
#include "stream_plan.h"

#include <stdint.h>
#include <sys/types.h>

/* A virtual machine that has just been started. The descriptors are nonblocking, and QEMU has the other ends. */
struct vm {
	struct plan_list apps;
	struct stream_plan streams;
	int64_t stop_timeout_ms, boot_timeout_ms;
	pid_t qemu;
	size_t share_count;
	pid_t shares[PLAN_MAX_VOLUMES]; /* the virtiofsds */
	pid_t tpm; /* the swtpm, 0: none */
	int monitor, control, stream_port, console, enter[FRAME_ENTER_PORTS];
	int words; /* what QEMU, the virtiofsds and the swtpm say on their standard output and error */
};

/*
 * Stays until QEMU has ended, and returns the pod's status. The working directory is the pod's: status/, log/ and enter.sock
 * are written there. How a guest ends is in stage1/flavours/kvm/README.md.
 */
int keeper_run(const struct vm *vm);

#endif
