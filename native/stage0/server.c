#include "server.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int received[MAX_DESCRIPTORS];
static size_t received_count;

int server_connect(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct ucred peer;
	socklen_t size = sizeof peer;
	int server;

	if (strlen(path) >= sizeof address.sun_path)
		return -1;
	strcpy(address.sun_path, path);
	server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (server < 0)
		return -1;
	/* what the server hands over is executed: it has to be root's */
	if (connect(server, (struct sockaddr *)&address, sizeof address) < 0 ||
	    getsockopt(server, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0) {
		close(server);
		return -1;
	}
	return server;
}

/* Gives 0 for descriptors that were lost because this process may have no more. */
static int keep_descriptors(struct msghdr *message)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c != NULL; c = CMSG_NXTHDR(message, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		if (count > MAX_DESCRIPTORS - received_count)
			return 0;
		memcpy(received + received_count, CMSG_DATA(c), count * sizeof(int));
		received_count += count;
	}
	return (message->msg_flags & MSG_CTRUNC) == 0;
}

static int read_exactly(int server, void *bytes, size_t size, int timeout_ms)
{
	union {
		char bytes[CMSG_SPACE(MAX_DESCRIPTORS * sizeof(int))];
		struct cmsghdr aligned;
	} control;

	for (size_t at = 0; at < size;) {
		struct iovec part = { (char *)bytes + at, size - at };
		struct msghdr message = {
			.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
		};
		struct pollfd ready = { .fd = server, .events = POLLIN };
		int polled = poll(&ready, 1, timeout_ms);
		ssize_t n;

		if (polled < 0 && errno == EINTR)
			continue;
		if (polled <= 0)
			return 0;
		n = recvmsg(server, &message, MSG_CMSG_CLOEXEC);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0 || !keep_descriptors(&message))
			return 0;
		at += (size_t)n;
	}
	return 1;
}

int server_read(int server, struct frame *frame, int timeout_ms)
{
	unsigned char head[5];

	if (!read_exactly(server, head, sizeof head, timeout_ms))
		return 0;
	frame->type = head[0];
	frame->size = head[1] | (size_t)head[2] << 8 | (size_t)head[3] << 16 | (size_t)head[4] << 24;
	if (frame->size > MAX_PAYLOAD || !read_exactly(server, frame->payload, frame->size, timeout_ms))
		return 0;
	frame->payload[frame->size] = '\0';
	return 1;
}

int server_send(int server, const void *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = send(server, (const char *)bytes + at, size - at, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return 0;
		at += (size_t)n;
	}
	return 1;
}

size_t server_descriptors(const int **descriptors)
{
	*descriptors = received;
	return received_count;
}
