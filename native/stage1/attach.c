#include "attach.h"

#include "enter_socket.h"
#include "fail.h"
#include "frames.h"
#include "plan.h"
#include "profile.h"
#include "relay.h"
#include "sink.h"
#include "tail.h"
#include "user_terminal.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { INPUT_BYTES = 4096, NAME_BYTES = 64, MESSAGE_BYTES = 512 };

static struct attach {
	int socket, signals;
	int terminal;
	int input;	    /* -1: its end was told */
	uint32_t under_way; /* bytes of IN that nobody has told of by TAKEN */
	struct sink sinks[2];
	struct frame held; /* `size` is what is left of it */
	int held_by;
	struct frame_reader reader;
	struct frame_writer writer;
} attach;

/* Sends it now, whatever else there is: before START nothing else is to be done. */
static void send_now(struct attach *a, enum frame_kind kind, const void *payload, size_t size)
{
	struct pollfd room = {.fd = a->socket, .events = POLLOUT};

	frames_put(&a->writer, kind, 0, payload, size);
	while (frames_flush(&a->writer, a->socket) > 0)
		poll(&room, 1, -1);
}

static void send_file(struct attach *a, int directory, const char *name)
{
	struct plan_bytes content = plan_read_bytes(directory, name, PLAN_MAX_FILE_BYTES);
	static unsigned char piece[FRAME_MAX_BYTES];
	size_t head = strlen(name) + 1, done = 0;

	if (head > NAME_BYTES)
		fail("profile: the name %s is too long", name);
	memcpy(piece, name, head);
	do { /* an empty file, too, has a piece */
		size_t part = content.size - done < sizeof piece - head ? content.size - done : sizeof piece - head;

		memcpy(piece + head, content.data + done, part);
		send_now(a, FRAME_FILE, piece, head + part);
		done += part;
	} while (done < content.size);
	free(content.data);
}

static void send_profile(struct attach *a, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *directory = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;

	if (directory == NULL)
		fail_errno("%s", path);
	while (errno = 0, (entry = readdir(directory)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			send_file(a, fd, entry->d_name);
	if (errno != 0)
		fail_errno("%s", path);
	closedir(directory);
	send_now(a, FRAME_START, NULL, 0);
}

static void terminal_size(uint16_t *numbers)
{
	struct winsize size = {0};

	user_terminal_size(&size); /* zeros: not known */
	numbers[0] = htole16(size.ws_row);
	numbers[1] = htole16(size.ws_col);
}

static void send_open(struct attach *a, unsigned app)
{
	struct {
		uint8_t app, terminal;
		uint16_t size[2];
	} __attribute__((packed)) open_it = {.app = (uint8_t)app, .terminal = (uint8_t)a->terminal};
	uint16_t numbers[2];

	terminal_size(numbers);
	memcpy(open_it.size, numbers, sizeof numbers);
	send_now(a, FRAME_OPEN, &open_it, sizeof open_it);
}

/* A signal that does not fit waits for nobody: the session does not take anything any more. */
static void take_signals(struct attach *a)
{
	struct signalfd_siginfo info;

	while (read(a->signals, &info, sizeof info) == (ssize_t)sizeof info) {
		uint8_t number = (uint8_t)info.ssi_signo;
		uint16_t numbers[2];

		if (info.ssi_signo == SIGWINCH && a->terminal) {
			terminal_size(numbers);
			frames_put(&a->writer, FRAME_RESIZE, 0, numbers, sizeof numbers);
		} else if (info.ssi_signo != SIGCHLD && info.ssi_signo != SIGWINCH) {
			frames_put(&a->writer, FRAME_SIGNAL, 0, &number, 1);
		}
	}
}

static void read_input(struct attach *a)
{
	static char bytes[INPUT_BYTES];
	ssize_t n = read(a->input, bytes, sizeof bytes);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		a->input = -1;
		n = 0;
	}
	frames_put(&a->writer, FRAME_IN, 0, bytes, (size_t)n);
	a->under_way += (uint32_t)n;
}

static int has_input_room(const struct attach *a)
{
	return a->under_way + INPUT_BYTES <= FRAME_INPUT_WINDOW && a->writer.end - a->writer.start < FRAME_MAX_BYTES;
}

static void flush_held(struct attach *a)
{
	size_t done = sink_write(&a->sinks[a->held_by], a->held.payload, a->held.size);

	a->held.payload += done;
	a->held.size -= (uint16_t)done;
}

static void __attribute__((noreturn)) end(int status)
{
	user_terminal_restore();
	_exit(status);
}

static void __attribute__((noreturn)) fail_with(const struct frame *frame)
{
	char message[MESSAGE_BYTES];

	printable_text((const char *)frame->payload, frame->size, message, sizeof message);
	user_terminal_restore();
	fail("%s", message);
}

static void take_frame(struct attach *a, const struct frame *frame)
{
	uint32_t taken;

	switch (frame->kind) {
	case FRAME_OUT:
	case FRAME_ERR:
		a->held = *frame;
		a->held_by = frame->kind == FRAME_ERR;
		flush_held(a);
		return;
	case FRAME_TAKEN: /* the keeper has checked it */
		memcpy(&taken, frame->payload, sizeof taken);
		a->under_way -= le32toh(taken);
		return;
	case FRAME_EXIT:
		end(frame->payload[0]);
	case FRAME_FAILURE: /* the keeper's own */
		fail_with(frame);
	}
}

static void take_frames(struct attach *a)
{
	struct frame frame;

	while (a->held.size == 0 && frames_next(&a->reader, &frame) > 0)
		take_frame(a, &frame);
}

static void read_socket(struct attach *a)
{
	ssize_t n = frames_fill(&a->reader, a->socket);

	if (n > 0 || (n < 0 && errno == EAGAIN))
		return;
	user_terminal_restore();
	fail("the pod has ended");
}

static void __attribute__((noreturn)) relay(struct attach *a)
{
	for (;;) {
		int is_queued = a->writer.start < a->writer.end, is_held = a->held.size > 0;
		short events = (short)((is_held ? 0 : POLLIN) | (is_queued ? POLLOUT : 0));
		struct pollfd at[4] = {{.fd = a->signals, .events = POLLIN},
				       {.fd = events != 0 ? a->socket : -1, .events = events},
				       {.fd = has_input_room(a) ? a->input : -1, .events = POLLIN},
				       {.fd = is_held ? a->sinks[a->held_by].fd : -1, .events = POLLOUT}};

		if (poll(at, 4, -1) < 0 && errno != EINTR)
			fail_errno("poll");
		if (at[3].revents != 0)
			flush_held(a);
		if (at[1].revents != 0 && !is_held)
			read_socket(a);
		take_frames(a);
		if (at[2].revents != 0)
			read_input(a);
		if (at[0].revents != 0)
			take_signals(a);
		frames_flush(&a->writer, a->socket); /* where nobody reads any more, what was said last is there to be read */
	}
}

int attach_main(int argc, char **argv)
{
	struct attach *a = &attach;
	unsigned long app;

	fail_as("attach", EXIT_HOLDFAST);
	if (argc != 5)
		fail("wanted SOCKET APP PROFILE STREAMS, got %d arguments", argc - 1);
	reset_signals();
	app = plan_number(argv[2], PLAN_MAX_APPS - 1, "app");
	a->terminal = plan_choice(argv[4], "pass", "terminal", "streams");
	a->socket = enter_socket_connect(argv[1]);
	if (a->socket < 0 && (errno == ENOENT || errno == ECONNREFUSED))
		fail("the pod has ended, or was not started");
	if (a->socket < 0)
		fail_errno("%s", argv[1]);
	sink_open(&a->sinks[0], STDOUT_FILENO);
	sink_open(&a->sinks[1], STDERR_FILENO);
	send_open(a, (unsigned)app);
	send_profile(a, argv[3]);
	a->signals = relay_watch_signals(); /* until now a signal ends this process, and with it the session */
	if (a->terminal)
		user_terminal_raw();
	relay(a);
}
