#ifndef HOLDFAST_ENTER_PORT_H
#define HOLDFAST_ENTER_PORT_H

#include "frames.h"

#include <poll.h>

enum enter_state {
	ENTER_FREE,
	ENTER_CONNECTED, /* the client has not said OPEN yet */
	ENTER_OPENED,	 /* files come */
	ENTER_STARTED,
	ENTER_LEFT,	/* the client is gone, the guest has not said EXIT */
	ENTER_FINISHED, /* the guest has said EXIT, the client has not been told all */
};

/* A port of the guest and who entered by it. All starts as zeros but the two descriptors. */
struct enter_port {
	int port, client; /* -1: none */
	enum enter_state state;
	uint32_t under_way; /* bytes of IN that the guest has not told of by TAKEN */
	struct frame_reader from_guest, from_client;
	struct frame_writer to_guest, to_client;
};

enum { ENTER_WAITS = 2 };

void enter_port_connect(struct enter_port *p, int client);

/* Fills in ENTER_WAITS of what is waited for. */
void enter_port_wait_for(const struct enter_port *p, struct pollfd *at);

/*
 * Copies whole frames both ways, each checked. A client that breaks the rules is left; returns what the guest did wrong, or NULL.
 */
const char *enter_port_take(struct enter_port *p, const struct pollfd *at, size_t app_count);

/* Whether there is, or may be, something that the client has not been told. */
int enter_port_has_more(const struct enter_port *p);

/* Tells a client why it is not let in, and closes it. */
void enter_port_refuse(int client, const char *why);

#endif
