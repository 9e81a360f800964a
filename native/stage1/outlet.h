#ifndef HOLDFAST_OUTLET_H
#define HOLDFAST_OUTLET_H

#include "status.h"

#include <poll.h>
#include <stddef.h>

struct pod;

/* Standard streams of a program that is about to be started. */
struct streams {
	int fd[3];    /* -1: that of this process */
	int terminal; /* standard input becomes its controlling terminal */
};

enum { OUTLET_MAX_WAITS = 160 };

/*
 * Where a pod tells of itself, and where what its apps say goes: files of the pod directory (outlet_files.c), or frames
 * on the ports of a virtual machine (outlet_frames.c). `app` is the position in apps.list.
 */
struct outlet {
	/* The plan has been read; the outlet's own part of it is read now. */
	void (*open)(struct pod *pod);
	void (*app)(size_t app, const char *name, const struct app_status *status);
	/* It has ended for good. */
	void (*app_exit)(size_t app, const char *name, int exit_status);
	void (*pod)(enum pod_phase phase, int64_t ready_at_ms);
	/* `is_main`: it is the app's own program, not one of its handlers. */
	void (*streams)(size_t app, int is_main, struct streams *streams);
	/* Takes what programs of the app that ended left in their pipes. */
	void (*drain)(size_t app);
	/* Fills in what is waited for, at most OUTLET_MAX_WAITS, and returns how many these are. */
	size_t (*wait_for)(struct pollfd *at);
	/* Does what `at` has become ready for. */
	void (*take)(struct pod *pod, const struct pollfd *at);
	/* A child that is none of an app's main processes has ended; NULL where that is of no interest. */
	void (*reaped)(pid_t pid, int wait_status);
};

#endif
