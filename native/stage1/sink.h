#ifndef HOLDFAST_SINK_H
#define HOLDFAST_SINK_H

#include <stddef.h>

/* Standard output or error of the caller, who may be slow, or gone. */
struct sink {
	int fd, gone;
};

/*
 * Writing to it does not wait from now on. A terminal is opened anew for that: what this process made nonblocking itself
 * would be so for its caller, too. SIGPIPE is ignored.
 */
void sink_open(struct sink *sink, int fd);

/* Returns how many bytes were taken now; where the consumer is gone, all of them are. */
size_t sink_write(struct sink *sink, const unsigned char *bytes, size_t size);

#endif
