#ifndef HOLDFAST_OUTLET_FRAMES_H
#define HOLDFAST_OUTLET_FRAMES_H

#include "outlet.h"

/*
 * A pod in a virtual machine tells its keeper of itself by frames (frames.h, stage1/flavours/kvm/README.md). Apps have
 * pipes, or one terminal; what they say is read only as fast as the keeper takes it.
 */
extern const struct outlet outlet_frames;

/* Opens the ports below `devices` and says HELLO. */
void outlet_frames_connect(const char *devices);

/* Tells the keeper why this process gives up, where there is a keeper to be told. Never through fail(). */
void outlet_frames_fail(const char *line, size_t size);

/*
 * After the pod's life, when no process is left besides this one: sends what apps said last, then the pod's status.
 * Returns when the keeper has everything or there is none.
 */
void outlet_frames_finish(int pod_status);

#endif
