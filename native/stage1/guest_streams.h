#ifndef HOLDFAST_GUEST_STREAMS_H
#define HOLDFAST_GUEST_STREAMS_H

#include "outlet.h"
#include "plan.h"

#include <poll.h>
#include <stddef.h>

/* Standard streams of the apps of a virtual machine, carried by the port holdfast.streams. */
enum { GUEST_STREAMS_WAITS = 2 + 2 * PLAN_MAX_APPS };

void guest_streams_connect(const char *devices);

/* Makes pipes, or the terminal, as the plan file `streams` says. Logs are the keeper's, and their apps have no input. */
void guest_streams_open(size_t app_count);

void guest_streams_of(size_t app, int is_main, struct streams *streams);

/* Fills in GUEST_STREAMS_WAITS entries. */
void guest_streams_wait_for(struct pollfd *at);
void guest_streams_take(const struct pollfd *at);

/* Rows and columns of the terminal, two bytes each, little-endian; without a terminal nothing happens. */
void guest_streams_resize(const unsigned char *rows_and_columns);

/* The app has ended for good: what its pipes still hold is sent, then their ends. */
void guest_streams_end(size_t app);

/* Whether that has come to pass for all apps. */
int guest_streams_are_done(void);

#endif
