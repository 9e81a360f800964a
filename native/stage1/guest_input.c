#include "guest_input.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

void input_open(struct input *input, int fd, int is_terminal)
{
	input->fd = fd;
	input->is_terminal = is_terminal;
	input->ended = 0;
	input->start = input->length = 0;
	input->untold = 0;
}

int input_take(struct input *input, const struct frame *frame)
{
	size_t end = (input->start + input->length) % sizeof input->bytes;
	size_t first = sizeof input->bytes - end < frame->size ? sizeof input->bytes - end : frame->size;

	if (frame->size == 0) {
		input->ended = 1;
		return 0;
	}
	if (input->ended || input->length + input->untold + frame->size > sizeof input->bytes)
		return -1;
	memcpy(input->bytes + end, frame->payload, first);
	memcpy(input->bytes, frame->payload + first, frame->size - first);
	input->length += frame->size;
	return 0;
}

static void took(struct input *input, size_t size)
{
	input->start = (input->start + size) % sizeof input->bytes;
	input->length -= size;
	input->untold += (uint32_t)size;
}

static void tell(struct input *input, struct port *port, uint8_t channel)
{
	uint32_t taken = htole32(input->untold);

	if (input->untold == 0 || port_room(port) == 0)
		return;
	port_put(port, FRAME_TAKEN, channel, &taken, sizeof taken);
	input->untold = 0;
}

void input_pass_on(struct input *input, struct port *port, uint8_t channel)
{
	while (input->length > 0 && input->fd >= 0) {
		size_t rest = sizeof input->bytes - input->start;
		ssize_t n = write(input->fd, input->bytes + input->start, rest < input->length ? rest : input->length);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) /* EPIPE: it has closed its input; EIO: its terminal is gone */
			input_close(input);
		else
			took(input, (size_t)n);
	}
	if (input->fd < 0)
		took(input, input->length);
	if (input->length == 0 && input->ended && !input->is_terminal)
		input_close(input);
	tell(input, port, channel);
}

struct pollfd input_wait(const struct input *input)
{
	return (struct pollfd){.fd = input->length > 0 ? input->fd : -1, .events = POLLOUT};
}

void input_close(struct input *input)
{
	if (input->fd >= 0 && !input->is_terminal)
		close(input->fd);
	input->fd = -1;
}
