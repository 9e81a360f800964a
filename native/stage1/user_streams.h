#ifndef HOLDFAST_USER_STREAMS_H
#define HOLDFAST_USER_STREAMS_H

#include "frames.h"
#include "guest_state.h"
#include "logs.h"
#include "sink.h"
#include "stream_plan.h"

/*
 * Standard streams of the apps of a guest: those of this process, or logs. A frame that the consumer does not take yet is
 * held, and nothing more is read of the port meanwhile, so that the guest waits, not this process's memory.
 */
struct user_streams {
	enum stream_kind kind;
	struct log *logs[PLAN_MAX_APPS];
	struct sink sinks[2];
	struct frame held; /* `size` is what is left of it; 0: nothing is held */
	int held_by;
	int input;	    /* standard input, -1: none, or its end was told */
	uint32_t under_way; /* bytes of IN that the guest has not told of by TAKEN */
};

void user_streams_open(struct user_streams *u, const struct stream_plan *plan, const struct guest_state *guest, int log_directory);

/* Takes whole frames from `reader` until one is held. Returns NULL, or what is wrong with one. */
const char *user_streams_take(struct user_streams *u, struct guest_state *guest, struct frame_reader *reader);

/* The descriptor whose room is waited for, or -1. */
int user_streams_blocked_on(const struct user_streams *u);
/* Tries what is held again. */
void user_streams_flush(struct user_streams *u);

/* Standard input where the guest has room for more of it, or -1; user_streams_read() carries a piece of it to `writer`. */
int user_streams_wants_input(const struct user_streams *u, const struct frame_writer *writer);
void user_streams_read(struct user_streams *u, struct frame_writer *writer);

#endif
