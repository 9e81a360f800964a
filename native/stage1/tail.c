#include "tail.h"

#include <string.h>

static int is_printable(char c)
{
	return c == '\n' || (c >= ' ' && c <= '~');
}

void tail_put(struct tail *tail, const char *bytes, size_t size)
{
	for (size_t i = size > TAIL_BYTES ? size - TAIL_BYTES : 0; i < size; i++)
		tail->bytes[(tail->end + i) % TAIL_BYTES] = bytes[i];
	tail->end += size;
}

void printable_text(const char *bytes, size_t length, char *text, size_t size)
{
	size_t at = 0;

	for (size_t i = 0; i < length && at < size - 1; i++)
		if (is_printable(bytes[i]))
			text[at++] = bytes[i];
	while (at > 0 && text[at - 1] == '\n')
		at--;
	text[at] = 0;
}

void tail_text(const struct tail *tail, char *text, size_t size)
{
	static char line[TAIL_BYTES];
	size_t first = tail->end > TAIL_BYTES ? tail->end - TAIL_BYTES : 0, length = 0;
	const char *from = line;

	for (size_t i = first; i < tail->end; i++)
		if (is_printable(tail->bytes[i % TAIL_BYTES]))
			line[length++] = tail->bytes[i % TAIL_BYTES];
	while (length > 0 && line[length - 1] == '\n')
		length--;
	if (length > size - 1) {
		const char *newline;

		from = line + length - (size - 1);
		newline = memchr(from, '\n', size - 1);
		if (newline != NULL)
			from = newline + 1;
	}
	printable_text(from, (size_t)(line + length - from), text, size);
}
