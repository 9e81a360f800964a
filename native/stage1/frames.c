#include "frames.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

static void to_the_front(unsigned char *bytes, size_t *start, size_t *end)
{
	memmove(bytes, bytes + *start, *end - *start);
	*end -= *start;
	*start = 0;
}

ssize_t frames_fill(struct frame_reader *r, int fd)
{
	ssize_t n;

	if (r->start > 0)
		to_the_front(r->bytes, &r->start, &r->end);
	if (r->end == sizeof r->bytes) {
		errno = ENOBUFS;
		return -1;
	}
	do
		n = read(fd, r->bytes + r->end, sizeof r->bytes - r->end);
	while (n < 0 && errno == EINTR);
	if (n > 0)
		r->end += (size_t)n;
	return n;
}

int frames_next(struct frame_reader *r, struct frame *frame)
{
	struct frame_header header;

	if (r->end - r->start < sizeof header)
		return 0;
	memcpy(&header, r->bytes + r->start, sizeof header);
	frame->kind = header.kind;
	frame->channel = header.channel;
	frame->size = le16toh(header.size);
	if (frame->size > FRAME_MAX_BYTES)
		return -1;
	if (r->end - r->start - sizeof header < frame->size)
		return 0;
	frame->payload = r->bytes + r->start + sizeof header;
	r->start += sizeof header + frame->size;
	return 1;
}

size_t frames_room(const struct frame_writer *w)
{
	size_t room = sizeof w->bytes - (w->end - w->start);

	if (room <= FRAME_HEADER_BYTES)
		return 0;
	return room - FRAME_HEADER_BYTES < FRAME_MAX_BYTES ? room - FRAME_HEADER_BYTES : FRAME_MAX_BYTES;
}

int frames_put(struct frame_writer *w, enum frame_kind kind, uint8_t channel, const void *payload, size_t size)
{
	struct frame_header header = {.kind = (uint8_t)kind, .channel = channel, .size = htole16((uint16_t)size)};

	if (size > FRAME_MAX_BYTES || sizeof w->bytes - (w->end - w->start) < sizeof header + size) {
		errno = ENOBUFS;
		return -1;
	}
	if (sizeof w->bytes - w->end < sizeof header + size)
		to_the_front(w->bytes, &w->start, &w->end);
	memcpy(w->bytes + w->end, &header, sizeof header);
	if (size > 0)
		memcpy(w->bytes + w->end + sizeof header, payload, size);
	w->end += sizeof header + size;
	return 0;
}

int frames_flush(struct frame_writer *w, int fd)
{
	while (w->start < w->end) {
		ssize_t n = write(fd, w->bytes + w->start, w->end - w->start);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? 1 : -1;
		w->start += (size_t)n;
	}
	w->start = w->end = 0;
	return 0;
}
