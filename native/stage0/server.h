#ifndef HOLDFAST_SERVER_H
#define HOLDFAST_SERVER_H

#include <stddef.h>

enum { MAX_PAYLOAD = 64 << 10, MAX_DESCRIPTORS = 253 };

/* Frames of stage1/cli/stage0-protocol.ts. */
enum { FRAME_HELLO = 'h', FRAME_COLD = 'c', FRAME_OUTPUT = 'o', FRAME_ERROR = 'e', FRAME_EXIT = 'x', FRAME_BECOME = 'b' };
enum { CLIENT_FAILED = 'f' };

struct frame {
	unsigned char type;
	size_t size;
	/* One NUL more than `size`. */
	unsigned char payload[MAX_PAYLOAD + 1];
};

/* Connects to a server of root's. Gives -1 where nobody listens or the server is not root's. */
int server_connect(const char *path);

/* Reads one frame. Gives 1, or 0 when the server ended, was silent for `timeout_ms`, or sent nonsense. */
int server_read(int server, struct frame *frame, int timeout_ms);

/* Sends all of it; gives 0 when the server is gone. */
int server_send(int server, const void *bytes, size_t size);

/* Descriptors that came with the frames read so far, close-on-exec all of them. */
size_t server_descriptors(const int **descriptors);

#endif
