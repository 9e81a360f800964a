#include "enter_port.h"

#include <endian.h>
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { OPEN_BYTES = 6, SIZE_BYTES = 4, MAX_FILE_NAME_BYTES = 64, MAX_SIGNAL = 64 };

/* More is read for `w` only below this, so that SIGNAL and EXIT always have room. */
static int is_ready(const struct frame_writer *w)
{
	return w->end - w->start < FRAME_MAX_BYTES;
}

void enter_port_connect(struct enter_port *p, int client)
{
	p->client = client;
	p->state = ENTER_CONNECTED;
	p->under_way = 0;
	p->from_client.start = p->from_client.end = 0;
	p->to_client.start = p->to_client.end = 0;
}

void enter_port_refuse(int client, const char *why)
{
	static struct frame_writer w;

	w.start = w.end = 0;
	frames_put(&w, FRAME_FAILURE, 0, why, strlen(why));
	send(client, w.bytes, w.end, MSG_DONTWAIT | MSG_NOSIGNAL); /* a new socket has room for it */
	close(client);
}

static void leave(struct enter_port *p)
{
	static const unsigned char kill_it = SIGKILL;

	close(p->client);
	p->client = -1;
	p->to_client.start = p->to_client.end = 0;
	if (p->state == ENTER_OPENED || p->state == ENTER_STARTED) {
		frames_put(&p->to_guest, FRAME_SIGNAL, 0, &kill_it, 1);
		p->state = ENTER_LEFT;
	} else {
		p->state = ENTER_FREE;
	}
}

static const char *take_from_guest(struct enter_port *p, const struct frame *f)
{
	uint32_t bytes;

	if (p->state == ENTER_FREE || p->state == ENTER_CONNECTED || p->state == ENTER_FINISHED)
		return "it speaks where nobody has entered";
	if (f->channel != 0)
		return "a channel that is none on an enter port";
	switch (f->kind) {
	case FRAME_OUT:
	case FRAME_ERR:
		break;
	case FRAME_TAKEN:
		if (f->size != sizeof bytes)
			return "TAKEN has another size";
		memcpy(&bytes, f->payload, sizeof bytes);
		if (le32toh(bytes) > p->under_way)
			return "more input was taken than was given";
		p->under_way -= le32toh(bytes);
		break;
	case FRAME_EXIT:
		if (f->size != 1)
			return "EXIT has another size";
		break;
	default:
		return "a kind that is none of enter ports";
	}
	if (p->client >= 0)
		frames_put(&p->to_client, f->kind, 0, f->payload, f->size);
	if (f->kind == FRAME_EXIT)
		p->state = p->client >= 0 ? ENTER_FINISHED : ENTER_FREE;
	return NULL;
}

static int is_file(const struct frame *f)
{
	const unsigned char *end = memchr(f->payload, 0, f->size < MAX_FILE_NAME_BYTES ? f->size : MAX_FILE_NAME_BYTES);
	const char *name = (const char *)f->payload;

	return end != NULL && end != f->payload && name[0] != '.' &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") == (size_t)(end - f->payload);
}

/* Returns the state that the frame leads to, or ENTER_LEFT where it has no place here. */
static enum enter_state take_from_client(const struct enter_port *p, const struct frame *f, size_t app_count)
{
	if (f->channel != 0)
		return ENTER_LEFT;
	switch (f->kind) {
	case FRAME_OPEN:
		return p->state == ENTER_CONNECTED && f->size == OPEN_BYTES && f->payload[0] < app_count && f->payload[1] <= 1
			       ? ENTER_OPENED
			       : ENTER_LEFT;
	case FRAME_FILE:
		return p->state == ENTER_OPENED && is_file(f) ? p->state : ENTER_LEFT;
	case FRAME_START:
		return p->state == ENTER_OPENED && f->size == 0 ? ENTER_STARTED : ENTER_LEFT;
	case FRAME_IN:
		return p->state == ENTER_STARTED && p->under_way + f->size <= FRAME_INPUT_WINDOW ? p->state : ENTER_LEFT;
	case FRAME_RESIZE:
		return p->state == ENTER_STARTED && f->size == SIZE_BYTES ? p->state : ENTER_LEFT;
	case FRAME_SIGNAL:
		return (p->state == ENTER_OPENED || p->state == ENTER_STARTED) && f->size == 1 && f->payload[0] >= 1 &&
				       f->payload[0] <= MAX_SIGNAL
			       ? p->state
			       : ENTER_LEFT;
	default:
		return ENTER_LEFT;
	}
}

/* Until no whole frame is left, or the client takes no more: what stays in the reader is told of by no poll(2). */
static const char *carry_from_guest(struct enter_port *p)
{
	struct frame f;
	int n = 0;

	while (is_ready(&p->to_client) && (n = frames_next(&p->from_guest, &f)) > 0) {
		const char *wrong = take_from_guest(p, &f);

		if (wrong != NULL)
			return wrong;
		if (p->client >= 0 && frames_flush(&p->to_client, p->client) < 0)
			leave(p);
	}
	return n < 0 ? "a frame is too long" : NULL;
}

static int is_heard(const struct enter_port *p)
{
	return p->client >= 0 && p->state != ENTER_FINISHED && is_ready(&p->to_guest);
}

static void flush_to_guest(struct enter_port *p)
{
	if (p->port >= 0 && frames_flush(&p->to_guest, p->port) < 0)
		p->port = -1; /* QEMU has ended, which others notice */
}

/* As carry_from_guest(). */
static void carry_from_client(struct enter_port *p, size_t app_count)
{
	struct frame f;
	int n = 0;

	while (is_heard(p) && (n = frames_next(&p->from_client, &f)) > 0) {
		enum enter_state next = take_from_client(p, &f, app_count);

		if (next == ENTER_LEFT) {
			leave(p);
			return;
		}
		p->state = next;
		if (f.kind == FRAME_IN)
			p->under_way += f.size;
		frames_put(&p->to_guest, f.kind, 0, f.payload, f.size);
		flush_to_guest(p);
	}
	if (n < 0)
		leave(p);
	flush_to_guest(p); /* the signal of leave(), too */
}

void enter_port_wait_for(const struct enter_port *p, struct pollfd *at)
{
	short to_guest = p->to_guest.start < p->to_guest.end ? POLLOUT : 0, to_client = p->to_client.start < p->to_client.end ? POLLOUT : 0;
	short from_guest = is_ready(&p->to_client) ? POLLIN : 0, from_client = is_heard(p) ? POLLIN : 0;

	/* a descriptor of which nothing is wanted is not given: its POLLHUP would come again and again */
	at[0] = (struct pollfd){.fd = to_guest | from_guest ? p->port : -1, .events = to_guest | from_guest};
	at[1] = (struct pollfd){.fd = to_client | from_client ? p->client : -1, .events = to_client | from_client};
}

const char *enter_port_take(struct enter_port *p, const struct pollfd *at, size_t app_count)
{
	const char *wrong;
	ssize_t n;

	if (at[0].fd >= 0 && at[0].revents & (POLLIN | POLLHUP) && at[0].events & POLLIN) {
		n = frames_fill(&p->from_guest, p->port);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			p->port = -1; /* QEMU has ended, which others notice */
	}
	/* first what was left before, so that there is room */
	if (p->client >= 0 && frames_flush(&p->to_client, p->client) < 0)
		leave(p);
	flush_to_guest(p);
	wrong = carry_from_guest(p);
	if (wrong != NULL)
		return wrong;
	if (p->state == ENTER_FINISHED && p->to_client.start == p->to_client.end)
		leave(p);
	if (p->client >= 0 && at[1].fd == p->client && at[1].revents != 0 && at[1].events & POLLIN) {
		n = frames_fill(&p->from_client, p->client);
		if (n == 0 || (n < 0 && errno != EAGAIN && errno != ENOBUFS))
			leave(p);
	}
	carry_from_client(p, app_count);
	return NULL;
}

int enter_port_has_more(const struct enter_port *p)
{
	return p->client >= 0 && p->state != ENTER_CONNECTED && (p->port >= 0 || p->to_client.start < p->to_client.end);
}
