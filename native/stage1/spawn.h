#ifndef HOLDFAST_SPAWN_H
#define HOLDFAST_SPAWN_H

#include "logs.h"

#include <sys/types.h>

/* Where the standard streams of apps go: the plan file `streams`. */
enum streams { STREAMS_PASS, STREAMS_TERMINAL, STREAMS_LOG };

struct spawn {
	const char *app;
	const char *program; /* argv, pre-start or post-stop */
	enum streams streams;
	int own_input; /* whether it has the standard input of init, else /dev/null */
	int null;
	const struct log *log; /* for STREAMS_LOG */
};

/*
 * Starts a program of an app in a session of its own. `report` gets the read end of a pipe: end of file without a byte
 * means that the program was executed, a byte that it could not be. Returns the process.
 */
pid_t spawn(const struct spawn *what, int *report);

#endif
