#ifndef HOLDFAST_GUEST_ENTER_H
#define HOLDFAST_GUEST_ENTER_H

#include "frames.h"
#include "pod.h"

#include <poll.h>
#include <stddef.h>

/*
 * Programs that the host starts in running apps of a virtual machine, one on each of the ports holdfast.enter.N. A
 * session begins with OPEN; its profile is put together in /s1/enter/N from FILE, and START runs mode `exec` with it. It
 * is over with EXIT. A session that cannot be is told why and ends with 254; the pod goes on.
 */
enum { ENTER_WAITS_EACH = 4, ENTER_WAITS = FRAME_ENTER_PORTS * ENTER_WAITS_EACH };

void enter_open(const char *devices);

/* Fills in ENTER_WAITS entries. */
void enter_wait_for(struct pollfd *at);
void enter_take(const struct pod *pod, const struct pollfd *at);

/* A child has ended; others than those of sessions are none of its business. */
void enter_reaped(pid_t pid, int wait_status);

#endif
