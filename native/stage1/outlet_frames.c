#include "outlet_frames.h"

#include "fail.h"
#include "guest_enter.h"
#include "guest_input.h"
#include "guest_port.h"
#include "guest_streams.h"
#include "pod.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

enum { CONTROL, FIRST_OF_STREAMS, FIRST_OF_ENTER = FIRST_OF_STREAMS + GUEST_STREAMS_WAITS, WAITS = FIRST_OF_ENTER + ENTER_WAITS };
enum { LAST_WORDS_MS = 10000, FAILURE_BYTES = 1024, RESIZE_BYTES = 4 };

static struct port control = {.gone = 1};
/* Whether the keeper has said that it has everything, and whether it may say so. */
static int off, over;

void outlet_frames_fail(const char *line, size_t size)
{
	if (control.gone || over) /* RESULT was the last word */
		return;
	frames_flush(&control.out, control.fd);
	if (frames_put(&control.out, FRAME_FAILURE, 0, line, size < FAILURE_BYTES ? size : FAILURE_BYTES) == 0)
		port_finish(&control, LAST_WORDS_MS);
}

void outlet_frames_connect(const char *devices)
{
	uint32_t version = htole32(FRAME_VERSION);

	port_open(&control, devices, "holdfast.control");
	port_put(&control, FRAME_HELLO, 0, &version, sizeof version);
	port_flush(&control);
	guest_streams_connect(devices);
	enter_open(devices);
}

static void tell_app(size_t app, const char *name, const struct app_status *s)
{
	struct frame_app frame = {
		.phase = (uint8_t)s->phase,
		.during = (uint8_t)s->during,
		.exit_status = (uint8_t)s->exit_status,
		.signal = (uint8_t)s->signal,
		.restarts = htole32(s->restarts),
		.pid = htole32((uint32_t)s->pid),
		.oom_kills = htole64(s->oom_kills),
	};

	(void)name;
	port_put(&control, FRAME_APP, (uint8_t)app, &frame, sizeof frame);
	port_flush(&control);
	if (s->phase == ENDED)
		guest_streams_end(app);
}

static void tell_exit(size_t app, const char *name, int exit_status)
{
	uint8_t status = (uint8_t)exit_status;

	(void)name;
	port_put(&control, FRAME_APP_EXIT, (uint8_t)app, &status, sizeof status);
	port_flush(&control);
}

static void tell_pod(enum pod_phase phase, int64_t ready_at_ms)
{
	uint8_t byte = (uint8_t)phase;

	(void)ready_at_ms; /* the keeper has a clock of its own */
	port_put(&control, FRAME_POD, 0, &byte, sizeof byte);
	port_flush(&control);
}

/* It may have ended before the keeper knew. */
static void stop(struct pod *pod)
{
	if (!pod_is_over(pod))
		pod_stop(pod);
}

static void take_control(struct pod *pod, const struct frame *f)
{
	if (f->channel == 0 && f->kind == FRAME_STOP && f->size == 0)
		stop(pod);
	else if (f->channel == 0 && f->kind == FRAME_RESIZE && f->size == RESIZE_BYTES)
		guest_streams_resize(f->payload);
	else if (f->channel == 0 && f->kind == FRAME_OFF && f->size == 0 && over)
		off = 1;
	else
		port_nonsense(&control, f);
}

static size_t wait_for(struct pollfd *at)
{
	at[CONTROL] = port_wait(&control);
	guest_streams_wait_for(at + FIRST_OF_STREAMS);
	enter_wait_for(at + FIRST_OF_ENTER);
	return WAITS;
}

static void take(struct pod *pod, const struct pollfd *at)
{
	struct frame f;

	port_take(&control, &at[CONTROL]);
	while (port_next(&control, &f))
		take_control(pod, &f);
	if (control.gone) /* nobody is left to tell */
		stop(pod);
	port_flush(&control);
	guest_streams_take(at + FIRST_OF_STREAMS);
	enter_take(pod, at + FIRST_OF_ENTER);
}

static void drain(size_t app)
{
	(void)app; /* its pipes stay until it has ended for good */
}

static struct pod *the_pod;

static void open_outlet(struct pod *pod)
{
	the_pod = pod;
	guest_streams_open(pod->app_count);
}

static void turn(int timeout_ms)
{
	static struct pollfd at[WAITS];

	wait_for(at);
	if (poll(at, WAITS, timeout_ms) >= 0)
		take(the_pod, at);
	else if (errno != EINTR)
		fail_errno("poll");
}

void outlet_frames_finish(int pod_status)
{
	uint8_t status = (uint8_t)pod_status;

	while (!guest_streams_are_done() && !control.gone)
		turn(-1);
	over = 1;
	port_put(&control, FRAME_RESULT, 0, &status, sizeof status);
	port_flush(&control);
	/* without a deadline: who reads an app's output may be slow, and a guest whose keeper is gone ends with QEMU */
	while (!off && !control.gone)
		turn(-1);
}

const struct outlet outlet_frames = {
	.open = open_outlet,
	.app = tell_app,
	.app_exit = tell_exit,
	.pod = tell_pod,
	.streams = guest_streams_of,
	.drain = drain,
	.wait_for = wait_for,
	.take = take,
	.reaped = enter_reaped,
};
