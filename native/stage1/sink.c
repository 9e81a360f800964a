#include "sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

void sink_open(struct sink *sink, int fd)
{
	char path[32];
	int own = -1;

	signal(SIGPIPE, SIG_IGN);
	if (isatty(fd)) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		own = open(path, O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	}
	*sink = (struct sink){.fd = own >= 0 ? own : fd};
}

/* What is ready has room for PIPE_BUF bytes, so that a pipe or socket takes these at once. */
size_t sink_write(struct sink *sink, const unsigned char *bytes, size_t size)
{
	struct pollfd room = {.fd = sink->fd, .events = POLLOUT};
	size_t done = 0;

	while (!sink->gone && done < size && poll(&room, 1, 0) > 0) {
		ssize_t n = write(sink->fd, bytes + done, size - done < PIPE_BUF ? size - done : PIPE_BUF);

		if (n >= 0)
			done += (size_t)n;
		else if (errno == EAGAIN)
			break;
		else if (errno != EINTR)
			sink->gone = 1;
	}
	return sink->gone ? size : done;
}
