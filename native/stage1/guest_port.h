#ifndef HOLDFAST_GUEST_PORT_H
#define HOLDFAST_GUEST_PORT_H

#include "frames.h"

#include <poll.h>

/* A virtio-serial port on which PID 1 of a virtual machine speaks with its keeper. What it says is not believed: fail(). */
struct port {
	const char *name;
	int fd;
	int gone; /* the other end is closed, and nobody is left to speak with */
	struct frame_reader in;
	struct frame_writer out;
};

/* Waits for it below `devices` (guest_devices.h). */
void port_open(struct port *port, const char *devices, const char *name);

/* What it is to be polled for: what comes always, room only where something waits to be written. */
struct pollfd port_wait(const struct port *port);

/* Reads what has come. Then port_next() until it gives 0. */
void port_take(struct port *port, const struct pollfd *at);
int port_next(struct port *port, struct frame *frame);

/* Ends this process because of a frame that has no place here. */
void port_nonsense(const struct port *port, const struct frame *frame) __attribute__((noreturn));

/*
 * Queues a frame, and first waits for room where there is none. What a program says leaves PORT_RESERVE_BYTES, so that
 * nobody waits for a few short frames because of it.
 */
enum { PORT_RESERVE_BYTES = 1024 };
void port_put(struct port *port, enum frame_kind kind, uint8_t channel, const void *payload, size_t size);

/* Writes what the port takes now. */
void port_flush(struct port *port);

/* Waits until everything was written, at most `timeout_ms`; never through fail(). */
void port_finish(struct port *port, int timeout_ms);

/* Room for what a program says. */
size_t port_room(const struct port *port);

/*
 * Carries what is in the nonblocking `fd` into one frame, as far as both have room. Returns what read(2) did: 0 is end of
 * file, -1 with EAGAIN that nothing is there, with ENOBUFS that the port has no room now.
 */
ssize_t port_carry(struct port *port, enum frame_kind kind, uint8_t channel, int fd);

#endif
