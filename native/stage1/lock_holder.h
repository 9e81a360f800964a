#ifndef HOLDFAST_LOCK_HOLDER_H
#define HOLDFAST_LOCK_HOLDER_H

#include <sys/types.h>

/*
 * Starts a process that does nothing but hold a copy of the pod's lock until `qemu` has ended, even where the keeper is killed
 * before: a pod that still runs never looks as if it had ended. QEMU itself does not get it: who has a copy of a lock can give
 * it up for all, and a directory of the host is a way out of QEMU's root.
 */
void lock_holder_start(int lock, pid_t qemu);

#endif
