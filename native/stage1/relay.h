#ifndef HOLDFAST_RELAY_H
#define HOLDFAST_RELAY_H

#include "terminal.h"

#include <sys/types.h>

/*
 * Blocks the signals that mean to end, interrupt or tell a program something, SIGWINCH and SIGCHLD, and returns the
 * signalfd (nonblocking) that they come from.
 */
int relay_watch_signals(void);

/* Both wait for the child `pid` and return its status, 128+n for signal n. */

/* Passes on the signals that mean to end, interrupt or tell something. */
int relay_signals(pid_t pid);

/*
 * Also carries bytes between standard input and output and the terminal, whose other end is closed here. Where standard
 * input is a terminal itself, that is in raw mode meanwhile and its size is the new one's.
 */
int relay_terminal(pid_t pid, const struct terminal *t);

#endif
