#ifndef HOLDFAST_QMP_H
#define HOLDFAST_QMP_H

#include <stddef.h>

enum { QMP_LINE_BYTES = 65536 };

/* What QEMU's monitor said, as far as a keeper wants to know. */
struct qmp_seen {
	int shutdown;	    /* an event SHUTDOWN, of whatever reason */
	int guest_shutdown; /* the guest powered off */
	int crashed;	    /* GUEST_PANICKED, or a SHUTDOWN because of a panic or of a reset */
};

struct qmp {
	int negotiated;
	size_t length;
	char line[QMP_LINE_BYTES];
	struct qmp_seen seen;
};

/*
 * Takes what QEMU has said on the nonblocking `fd`. Answers its greeting, and notes the events above; everything else is left
 * alone, so there is no JSON to parse: QEMU writes an event on one line with one space after each colon. Returns 1, 0 at
 * the end of file, -1 where a line is longer than any of QEMU's.
 */
int qmp_take(struct qmp *qmp, int fd);

/* Asks QEMU to end. Where it does not take that, nothing is lost: SIGKILL follows. */
void qmp_quit(int fd);

#endif
