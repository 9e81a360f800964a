#ifndef HOLDFAST_KEEPER_END_H
#define HOLDFAST_KEEPER_END_H

#include "guest_state.h"
#include "qmp.h"
#include "tail.h"

enum { END_MESSAGE_BYTES = 2048, KILLED_STATUS = 137 };

/* What the keeper knows when QEMU has ended. */
struct end_facts {
	const struct guest_state *guest;
	const struct qmp_seen *seen;
	const struct tail *console, *words;
	const char *nonsense;  /* NULL: none */
	int hung_at_boot, is_forced;
	int lost_share; /* the position of a volume whose virtiofsd ended before, -1: none */
	int lost_tpm;	/* its swtpm ended before */
	int wait_status; /* QEMU's */
};

struct pod_end {
	const char *end; /* of status/_vm.json */
	int status;
	char message[END_MESSAGE_BYTES + 256];
};

/* The table "How a guest ends" of stage1/flavours/kvm/README.md. */
void keeper_decide_end(const struct end_facts *facts, struct pod_end *end);

#endif
