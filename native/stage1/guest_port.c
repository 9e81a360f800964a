#include "guest_port.h"

#include "clock.h"
#include "fail.h"
#include "guest_devices.h"

#include <errno.h>
#include <unistd.h>

enum { WORTH_READING = 1024 }; /* less is not worth a frame */

void port_open(struct port *port, const char *devices, const char *name)
{
	port->name = name;
	port->fd = devices_open_port(devices, name);
	port->gone = 0;
}

struct pollfd port_wait(const struct port *port)
{
	short room = port->out.start < port->out.end ? POLLOUT : 0;

	return (struct pollfd){.fd = port->gone ? -1 : port->fd, .events = (short)(POLLIN | room)};
}

void port_take(struct port *port, const struct pollfd *at)
{
	ssize_t n;

	if (port->gone || (at->revents & (POLLIN | POLLHUP)) == 0)
		return;
	n = frames_fill(&port->in, port->fd);
	if (n < 0 && errno != EAGAIN)
		fail_errno("port %s", port->name);
	if (n == 0)
		port->gone = 1;
}

int port_next(struct port *port, struct frame *frame)
{
	int n = frames_next(&port->in, frame);

	if (n < 0)
		fail("port %s: the host sends a frame of %u bytes", port->name, frame->size);
	return n;
}

void port_nonsense(const struct port *port, const struct frame *frame)
{
	fail("port %s: the host sends nonsense: kind %u, channel %u, %u bytes", port->name, frame->kind, frame->channel, frame->size);
}

void port_flush(struct port *port)
{
	if (!port->gone && frames_flush(&port->out, port->fd) < 0)
		fail_errno("port %s", port->name);
}

void port_put(struct port *port, enum frame_kind kind, uint8_t channel, const void *payload, size_t size)
{
	while (!port->gone && frames_put(&port->out, kind, channel, payload, size) < 0) {
		struct pollfd room = {.fd = port->fd, .events = POLLOUT};

		port_flush(port);
		if (poll(&room, 1, -1) < 0 && errno != EINTR)
			fail_errno("port %s", port->name);
		port->gone = (room.revents & POLLHUP) != 0;
	}
}

void port_finish(struct port *port, int timeout_ms)
{
	int64_t deadline = monotonic_ms() + timeout_ms, left;

	while (!port->gone && frames_flush(&port->out, port->fd) > 0 && (left = deadline - monotonic_ms()) > 0) {
		struct pollfd room = {.fd = port->fd, .events = POLLOUT};

		poll(&room, 1, (int)left);
		port->gone = (room.revents & POLLHUP) != 0;
	}
}

size_t port_room(const struct port *port)
{
	size_t room = frames_room(&port->out);

	if (port->gone)
		return FRAME_MAX_BYTES;
	return room < PORT_RESERVE_BYTES + WORTH_READING ? 0 : room - PORT_RESERVE_BYTES;
}

ssize_t port_carry(struct port *port, enum frame_kind kind, uint8_t channel, int fd)
{
	static char bytes[FRAME_MAX_BYTES];
	size_t room = port_room(port);
	ssize_t n;

	if (room == 0) {
		errno = ENOBUFS;
		return -1;
	}
	do
		n = read(fd, bytes, room);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		port_put(port, kind, channel, bytes, (size_t)n);
	return n;
}
