#ifndef HOLDFAST_GUEST_INPUT_H
#define HOLDFAST_GUEST_INPUT_H

#include "guest_port.h"

/* Input on its way to a program: a window that the other side may fill (frames.h), and what was taken out of it since. */
struct input {
	int fd;		 /* nonblocking, -1 where nobody reads any more: then everything is taken at once */
	int is_terminal; /* has no end of file */
	int ended;
	size_t start, length;
	uint32_t untold;
	unsigned char bytes[FRAME_INPUT_WINDOW];
};

void input_open(struct input *input, int fd, int is_terminal);

/* Takes a frame IN. Returns -1 where the other side did not keep to the window, or said more after the end. */
int input_take(struct input *input, const struct frame *frame);

/* Writes what the program takes, closes `fd` when it has everything, and tells how much that was. */
void input_pass_on(struct input *input, struct port *port, uint8_t channel);

struct pollfd input_wait(const struct input *input);

/* Nobody reads any more. */
void input_close(struct input *input);

#endif
