#ifndef HOLDFAST_TAIL_H
#define HOLDFAST_TAIL_H

#include <stddef.h>

enum { TAIL_BYTES = 8192 };

/* The last bytes of something that may say any number of them. Starts as zeros. */
struct tail {
	size_t end; /* of all that came */
	char bytes[TAIL_BYTES];
};

void tail_put(struct tail *tail, const char *bytes, size_t size);

/*
 * The last whole lines that are at most `size` - 1 bytes together, without the last newline. What is neither printable
 * ASCII nor a newline is left out: who reads this reads it in a terminal.
 */
void tail_text(const struct tail *tail, char *text, size_t size);

/* The same rule for a text of `length` bytes, from its beginning. */
void printable_text(const char *bytes, size_t length, char *text, size_t size);

#endif
