#ifndef HOLDFAST_GUEST_ENTER_PROGRAM_H
#define HOLDFAST_GUEST_ENTER_PROGRAM_H

#include <sys/ioctl.h>
#include <sys/types.h>

/* A program that was entered, and this process's ends of its streams: nonblocking, -1 where there is none. */
struct enter_program {
	pid_t pid;
	int terminal; /* the master: input and output[0] are it, too */
	int input, output[2];
};

/*
 * Runs mode `exec` with a profile, for the app whose process `app` is; `size` is that of a new terminal, or NULL for
 * pipes. Returns NULL, or why not.
 */
const char *enter_program_start(struct enter_program *program, const char *profile, pid_t app, const struct winsize *size);

#endif
