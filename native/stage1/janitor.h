#ifndef HOLDFAST_JANITOR_H
#define HOLDFAST_JANITOR_H

/*
 * network POD: makes the pod's network namespace and returns to stage0, leaving a janitor behind. That one waits until
 * nobody holds the lock on POD, which is when the pod ended or was never started, and then does what `network-undo`
 * does.
 */
int janitor_main(int argc, char **argv);

/*
 * network-undo POD: carries out the files of POD/network/undo, the last one first, removes the namespace, and then
 * POD/network/namespace, which says that there is something to undo. Files that failed stay, to be tried again. Who is at
 * work holds the lock on POD/network, and is waited for. The caller knows that the pod does not run: it may hold the
 * pod's lock, or have found it free.
 */
int undo_main(int argc, char **argv);

#endif
