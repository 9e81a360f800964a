#include "guest_streams.h"

#include "fail.h"
#include "guest_input.h"
#include "guest_port.h"
#include "stream_plan.h"
#include "terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { PORT, INPUT, FIRST_OUTPUT };
enum { DRAIN_BYTES = 1 << 20 }; /* more than a pipe holds, so that only a writer that goes on is cut off */

struct output {
	int reader, writer; /* a program that is started again goes on with the same; reader is -1 when its end was sent */
	size_t drained;
};

static struct {
	struct port port;
	struct stream_plan plan;
	size_t app_count, first; /* `first` is whose turn it is */
	int null, input_reader, terminal;
	struct output outputs[2 * PLAN_MAX_APPS]; /* of each app standard output, then standard error */
	unsigned char ended[PLAN_MAX_APPS];
	struct input input;
} all;

void guest_streams_connect(const char *devices)
{
	port_open(&all.port, devices, "holdfast.streams");
}

static void open_terminal(void)
{
	struct terminal t;
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0)
		fail_errno("/");
	terminal_open(root, &t);
	close(root);
	all.terminal = t.master;
	all.input_reader = t.slave;
	all.outputs[0] = (struct output){.reader = t.master, .writer = t.slave};
	all.outputs[1] = (struct output){.reader = -1, .writer = t.slave};
	input_open(&all.input, t.master, 1);
}

static void open_pipe(int ends[2], int own)
{
	if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[own], F_SETFL, O_NONBLOCK) < 0)
		fail_errno("pipe");
}

static void open_pipes(void)
{
	int ends[2];

	for (size_t i = 0; i < 2 * all.app_count; i++) {
		open_pipe(ends, 0);
		all.outputs[i] = (struct output){.reader = ends[0], .writer = ends[1]};
	}
	if (all.plan.kind != STREAMS_PASS || all.app_count != 1)
		return;
	open_pipe(ends, 1);
	all.input_reader = ends[0];
	input_open(&all.input, ends[1], 0);
}

void guest_streams_open(size_t app_count)
{
	all.app_count = app_count;
	all.input_reader = all.terminal = -1;
	input_open(&all.input, -1, 0);
	all.null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (all.null < 0)
		fail_errno("/dev/null");
	stream_plan_read("/s1/plan/streams", app_count, &all.plan);
	if (all.plan.kind == STREAMS_TERMINAL)
		open_terminal();
	else
		open_pipes();
}

void guest_streams_of(size_t app, int is_main, struct streams *s)
{
	s->fd[0] = is_main && all.input_reader >= 0 ? all.input_reader : all.null;
	s->fd[1] = all.outputs[2 * app].writer;
	s->fd[2] = all.outputs[2 * app + 1].writer;
	s->terminal = is_main && all.terminal >= 0;
}

void guest_streams_wait_for(struct pollfd *at)
{
	int room = port_room(&all.port) > 0;

	at[PORT] = port_wait(&all.port);
	at[INPUT] = input_wait(&all.input);
	for (size_t i = 0; i < 2 * PLAN_MAX_APPS; i++)
		at[FIRST_OUTPUT + i] = (struct pollfd){.fd = room && i < 2 * all.app_count ? all.outputs[i].reader : -1, .events = POLLIN};
}

static void send_end(size_t i)
{
	port_put(&all.port, i % 2 == 0 ? FRAME_OUT : FRAME_ERR, (uint8_t)(i / 2), NULL, 0);
	all.outputs[i].reader = -1;
}

/* Returns whether there may be more. The writer stays open here, so that a pipe has no end before the app has. */
static int carry(size_t i)
{
	struct output *o = &all.outputs[i];
	int ended = all.ended[i / 2];
	ssize_t n;

	if (o->reader < 0)
		return 0;
	n = port_carry(&all.port, i % 2 == 0 ? FRAME_OUT : FRAME_ERR, (uint8_t)(i / 2), o->reader);
	if (n < 0 && errno == ENOBUFS)
		return 0;
	if (n < 0 && errno != EAGAIN)
		fail_errno("output of an app");
	if (n > 0 && ended)
		o->drained += (size_t)n;
	if (ended && (n <= 0 || o->drained > DRAIN_BYTES)) {
		close(o->reader);
		send_end(i);
	}
	return n > 0;
}

static void finish(size_t app)
{
	for (size_t i = 2 * app; i < 2 * app + 2; i++)
		while (carry(i))
			;
}

static void take_frame(const struct frame *f)
{
	if (f->kind != FRAME_IN || f->channel >= all.app_count || all.input_reader < 0 || input_take(&all.input, f) < 0)
		port_nonsense(&all.port, f);
}

void guest_streams_take(const struct pollfd *at)
{
	size_t count = 2 * all.app_count;
	struct frame f;

	port_take(&all.port, &at[PORT]);
	while (port_next(&all.port, &f))
		take_frame(&f);
	input_pass_on(&all.input, &all.port, 0);
	/* each time another one is the first, so that one that says much does not keep the others from speaking */
	for (size_t n = 0; n < count; n++) {
		size_t i = (all.first + n) % count;

		if (at[FIRST_OUTPUT + i].fd >= 0 && at[FIRST_OUTPUT + i].revents != 0)
			carry(i);
	}
	all.first = count == 0 ? 0 : (all.first + 1) % count;
	port_flush(&all.port);
	for (size_t app = 0; app < all.app_count; app++)
		if (all.ended[app])
			finish(app);
	port_flush(&all.port);
}

void guest_streams_resize(const unsigned char *bytes)
{
	struct winsize size = {.ws_row = (unsigned short)(bytes[0] | bytes[1] << 8), .ws_col = (unsigned short)(bytes[2] | bytes[3] << 8)};

	if (all.terminal >= 0 && ioctl(all.terminal, TIOCSWINSZ, &size) < 0)
		warn_errno("size of the terminal");
}

void guest_streams_end(size_t app)
{
	all.ended[app] = 1;
	if (all.terminal >= 0) {
		send_end(1);
		input_close(&all.input);
		all.terminal = -1;
	}
	finish(app);
	port_flush(&all.port);
}

int guest_streams_are_done(void)
{
	for (size_t i = 0; i < 2 * all.app_count; i++)
		if (all.outputs[i].reader >= 0)
			return 0;
	return all.port.gone || all.port.out.start == all.port.out.end;
}
