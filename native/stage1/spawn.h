#ifndef HOLDFAST_SPAWN_H
#define HOLDFAST_SPAWN_H

#include "outlet.h"

#include <sys/types.h>

struct spawn {
	const char *app;
	const char *program; /* argv, pre-start or post-stop */
	struct streams streams;
};

/*
 * Starts a program of an app in a session of its own. `report` gets the read end of a pipe: end of file without a byte
 * means that the program was executed, a byte that it could not be. Returns the process.
 */
pid_t spawn(const struct spawn *what, int *report);

#endif
