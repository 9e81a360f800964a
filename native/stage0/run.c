#include "run.h"

#include "../stage1/fail.h"
#include "installation.h"
#include "request.h"
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* stage1/cli/stage0-protocol.ts has the same. */
#define PROTOCOL "1"
#define DEFAULT_SOCKET "/run/holdfast/stage0.sock"

/*
 * A server that does not even say who it is is not waited for; one that works on a launch gives up itself, and earlier.
 */
enum { HELLO_TIMEOUT_MS = 2000, ANSWER_TIMEOUT_MS = 110000 };

#define OPTION "--stage0"

/* The socket to try: NULL for none. Mistakes in the options are for Node to find. */
static const char *chosen_socket(int argc, char **argv)
{
	const char *chosen = DEFAULT_SOCKET;

	for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
		if (strncmp(argv[i], OPTION "=", sizeof OPTION) == 0)
			chosen = argv[i] + sizeof OPTION;
		else if (strcmp(argv[i], OPTION) == 0)
			chosen = i + 1 < argc ? argv[i + 1] : "none";
	}
	return strcmp(chosen, "none") == 0 ? NULL : chosen;
}

/* As Node does: descriptors that are opened later must not be taken for standard streams. */
static void keep_standard_streams(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Whether the server is one that this program belongs to; says so where it is not. */
static int is_ours(int server, struct frame *frame, const char *path)
{
	char wanted[128] = PROTOCOL " ";

	installation_identity(wanted + strlen(wanted), sizeof wanted - strlen(wanted));
	if (!server_read(server, frame, HELLO_TIMEOUT_MS)) {
		warn("warning: the stage0 server at %s does not answer; started without it", path);
		return 0;
	}
	if (frame->type == FRAME_COLD)
		return 0;
	if (frame->type == FRAME_HELLO && strcmp((char *)frame->payload, wanted) == 0)
		return 1;
	warn("warning: the stage0 server at %s is of another installation; started without it (start the server again)", path);
	return 0;
}

static void write_all(int fd, const unsigned char *bytes, size_t size)
{
	for (size_t at = 0; at < size;) {
		ssize_t n = write(fd, bytes + at, size - at);

		if (n < 0 && errno == EAGAIN) {
			struct pollfd ready = { .fd = fd, .events = POLLOUT };

			poll(&ready, 1, -1);
		} else if (n < 0 && errno != EINTR) {
			_exit(EXIT_HOLDFAST); /* nobody is left to be told */
		} else if (n > 0) {
			at += (size_t)n;
		}
	}
}

/* argv as the server says, and the numbers of all descriptors but the first. */
static char **pod_arguments(struct frame *frame, const int *descriptors, size_t count)
{
	static char numbers[MAX_DESCRIPTORS][12];
	char *end = (char *)frame->payload + frame->size;
	char **arguments;
	size_t words = 0, at = 0;

	for (char *c = (char *)frame->payload; c < end; c++)
		words += *c == '\0';
	arguments = calloc(words + count + 1, sizeof *arguments);
	if (arguments == NULL || words == 0 || end[-1] != '\0')
		return NULL;
	for (char *c = (char *)frame->payload; c < end; c += strlen(c) + 1)
		arguments[at++] = c;
	for (size_t i = 1; i < count; i++) {
		snprintf(numbers[i], sizeof numbers[i], "%d", descriptors[i]);
		arguments[at++] = numbers[i];
	}
	return arguments;
}

/* Returns only when that failed. The end of the connection tells the server that it did not. */
static void become(struct frame *frame)
{
	char *environment[] = { NULL };
	const int *descriptors;
	size_t count = server_descriptors(&descriptors);
	char **arguments = count > 1 ? pod_arguments(frame, descriptors, count) : NULL;

	errno = EPROTO;
	if (arguments == NULL)
		return;
	/* what the caller had open is not the pod's; Node closes it too */
	if (syscall(SYS_close_range, STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return;
	for (size_t i = 1; i < count; i++)
		if (fcntl(descriptors[i], F_SETFD, 0) < 0)
			return;
	syscall(SYS_execveat, descriptors[0], "", arguments, environment, AT_EMPTY_PATH);
}

void run_by_server(int argc, char **argv)
{
	static struct frame frame;
	const char *path = chosen_socket(argc, argv);
	struct request request;
	int server;

	if (path == NULL || geteuid() != 0)
		return;
	keep_standard_streams();
	server = server_connect(path);
	if (server < 0)
		return;
	request = request_make(argc, argv);
	if (request.bytes == NULL || !is_ours(server, &frame, path)) {
		close(server);
		return;
	}
	/* From here on the server may have measured a launch: nothing is tried a second time. */
	if (!server_send(server, request.bytes, request.size))
		fail("the stage0 server at %s ended; nothing was started, try again", path);
	while (server_read(server, &frame, ANSWER_TIMEOUT_MS)) {
		switch (frame.type) {
		case FRAME_OUTPUT:
		case FRAME_ERROR:
			write_all(frame.type == FRAME_OUTPUT ? STDOUT_FILENO : STDERR_FILENO, frame.payload, frame.size);
			break;
		case FRAME_EXIT:
			_exit(frame.size == 1 ? frame.payload[0] : EXIT_HOLDFAST);
		case FRAME_COLD:
			close(server);
			return;
		case FRAME_BECOME: {
			int err;

			become(&frame);
			err = errno;
			server_send(server, &(char){ CLIENT_FAILED }, 1);
			errno = err;
			fail_errno("the pod cannot be started from this process");
		}
		default:
			fail("the stage0 server at %s says what this program does not understand; nothing was started", path);
		}
	}
	fail("the stage0 server at %s ended or hangs; nothing was started, try again", path);
}
