#include "guest_enter.h"

#include "fail.h"
#include "guest_enter_profile.h"
#include "guest_enter_program.h"
#include "guest_input.h"
#include "guest_port.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* DRAINING: the program has ended, and what it said last is on its way. */
enum state { IDLE, OPENED, RUNS, DRAINING };
enum { MAX_SIGNAL = 64, DRAIN_BYTES = 1 << 20, OPEN_BYTES = 6, RESIZE_BYTES = 4 };
enum { PORT, INPUT, OUTPUT, ERROR };

static struct session {
	struct port port;
	enum state state;
	size_t app;
	struct winsize size;
	struct enter_profile profile;
	uint8_t status;
	int is_terminal;
	struct enter_program program; /* its outputs are -1 at their end */
	size_t drained;
	struct input input;
} sessions[FRAME_ENTER_PORTS];

static const char *const PORTS[] = {"holdfast.enter.0", "holdfast.enter.1", "holdfast.enter.2", "holdfast.enter.3"};

void enter_open(const char *devices)
{
	for (size_t i = 0; i < FRAME_ENTER_PORTS; i++) {
		struct session *s = &sessions[i];

		port_open(&s->port, devices, PORTS[i]);
		s->profile.directory = -1;
		s->program = (struct enter_program){.terminal = -1, .input = -1, .output = {-1, -1}};
		input_open(&s->input, -1, 0);
	}
}

static void close_output(struct session *s, int stream)
{
	if (s->program.output[stream] >= 0 && s->program.output[stream] != s->program.terminal)
		close(s->program.output[stream]);
	s->program.output[stream] = -1;
}

static void end(struct session *s)
{
	port_put(&s->port, FRAME_EXIT, 0, &s->status, sizeof s->status);
	enter_profile_remove(&s->profile);
	input_close(&s->input);
	close_output(s, 0);
	close_output(s, 1);
	if (s->program.terminal >= 0)
		close(s->program.terminal);
	s->program.terminal = -1;
	s->state = IDLE;
}

static void refuse(struct session *s, const char *why)
{
	char text[256];
	int n = snprintf(text, sizeof text, "holdfast guest: %s\n", why);

	port_put(&s->port, FRAME_ERR, 0, text, (size_t)n < sizeof text ? (size_t)n : sizeof text - 1);
	s->status = EXIT_HOLDFAST;
	end(s);
}

static void set_size(struct session *s, const unsigned char *rows_and_columns)
{
	s->size.ws_row = (unsigned short)(rows_and_columns[0] | rows_and_columns[1] << 8);
	s->size.ws_col = (unsigned short)(rows_and_columns[2] | rows_and_columns[3] << 8);
	if (s->program.terminal >= 0 && ioctl(s->program.terminal, TIOCSWINSZ, &s->size) < 0)
		warn_errno("size of a terminal");
}

static void open_session(struct session *s, const struct pod *pod, const struct frame *f)
{
	const char *why;

	if (f->size != OPEN_BYTES || f->payload[0] >= pod->app_count || f->payload[1] > 1)
		port_nonsense(&s->port, f);
	s->app = f->payload[0];
	s->is_terminal = f->payload[1];
	set_size(s, f->payload + 2);
	s->state = OPENED;
	why = enter_profile_make(&s->profile, (unsigned)(s - sessions));
	if (why != NULL)
		refuse(s, why);
}

static void add_file(struct session *s, const struct frame *f)
{
	const char *why = enter_profile_add(&s->profile, f);

	if (why != NULL)
		refuse(s, why);
}

static void start(struct session *s, const struct pod *pod)
{
	const struct app *app = &pod->apps[s->app];
	const char *why = "the app does not run";

	if (app->status.phase == RUNNING)
		why = enter_program_start(&s->program, s->profile.path, app->pid, s->is_terminal ? &s->size : NULL);
	if (why != NULL) {
		refuse(s, why);
		return;
	}
	input_open(&s->input, s->program.input, s->is_terminal);
	s->drained = 0;
	s->state = RUNS;
}

static void pass_signal(struct session *s, const struct frame *f)
{
	if (f->size != 1 || f->payload[0] == 0 || f->payload[0] > MAX_SIGNAL)
		port_nonsense(&s->port, f);
	if (s->state == RUNS)
		kill(s->program.pid, f->payload[0]);
	if (s->state != OPENED)
		return;
	s->status = (uint8_t)(128 + f->payload[0]);
	end(s);
}

/* Between two sessions the end of the one before may not have been known yet to who sent this. */
static int is_late(const struct session *s, const struct frame *f)
{
	return s->state == IDLE && (f->kind == FRAME_FILE || f->kind == FRAME_START || f->kind == FRAME_IN ||
				    f->kind == FRAME_RESIZE || f->kind == FRAME_SIGNAL);
}

static void take_frame(struct session *s, const struct pod *pod, const struct frame *f)
{
	if (f->channel != 0)
		port_nonsense(&s->port, f);
	if (is_late(s, f))
		return;
	if (f->kind == FRAME_OPEN && s->state == IDLE)
		open_session(s, pod, f);
	else if (f->kind == FRAME_FILE && s->state == OPENED)
		add_file(s, f);
	else if (f->kind == FRAME_START && s->state == OPENED && f->size == 0)
		start(s, pod);
	else if (f->kind == FRAME_IN && s->state != OPENED && input_take(&s->input, f) == 0)
		;
	else if (f->kind == FRAME_RESIZE && f->size == RESIZE_BYTES)
		set_size(s, f->payload);
	else if (f->kind == FRAME_SIGNAL)
		pass_signal(s, f);
	else
		port_nonsense(&s->port, f);
}

/* Nothing came, and of a program that ended nothing more will: others may have its streams, too. */
static void nothing_came(struct session *s, int stream, ssize_t n)
{
	if (n == 0 || errno == EIO || (errno == EAGAIN && s->state == DRAINING))
		close_output(s, stream);
	else if (errno != EAGAIN && errno != ENOBUFS)
		fail_errno("output of an entered program");
}

static void carry(struct session *s, int stream)
{
	while (s->program.output[stream] >= 0) {
		ssize_t n = port_carry(&s->port, stream == 0 ? FRAME_OUT : FRAME_ERR, 0, s->program.output[stream]);

		if (n <= 0) {
			nothing_came(s, stream, n);
			return;
		}
		if (s->state != DRAINING)
			return;
		s->drained += (size_t)n;
		if (s->drained > DRAIN_BYTES)
			close_output(s, stream);
	}
}

/* What a program that ended said last, then its status, as far as there is room; port_wait() tells of more. */
static void finish(struct session *s)
{
	carry(s, 0);
	carry(s, 1);
	if (s->program.output[0] < 0 && s->program.output[1] < 0)
		end(s);
	port_flush(&s->port);
}

void enter_wait_for(struct pollfd *at)
{
	for (struct session *s = sessions; s < sessions + FRAME_ENTER_PORTS; s++, at += ENTER_WAITS_EACH) {
		int room = port_room(&s->port) > 0;

		at[PORT] = port_wait(&s->port);
		at[INPUT] = input_wait(&s->input);
		for (int i = 0; i < 2; i++)
			at[OUTPUT + i] = (struct pollfd){.fd = room && s->state == RUNS ? s->program.output[i] : -1, .events = POLLIN};
	}
}

static void take_session(struct session *s, const struct pod *pod, const struct pollfd *at)
{
	struct frame f;

	for (int i = 0; i < 2; i++)
		if (s->state == RUNS && at[OUTPUT + i].fd >= 0 && at[OUTPUT + i].revents != 0)
			carry(s, i);
	port_take(&s->port, &at[PORT]);
	while (port_next(&s->port, &f))
		take_frame(s, pod, &f);
	if (s->port.gone && s->state == RUNS)
		kill(s->program.pid, SIGKILL);
	if (s->state == RUNS || s->state == DRAINING)
		input_pass_on(&s->input, &s->port, 0);
	port_flush(&s->port);
	if (s->state == DRAINING)
		finish(s);
}

void enter_take(const struct pod *pod, const struct pollfd *at)
{
	for (size_t i = 0; i < FRAME_ENTER_PORTS; i++)
		take_session(&sessions[i], pod, at + i * ENTER_WAITS_EACH);
}

void enter_reaped(pid_t pid, int wait_status)
{
	for (struct session *s = sessions; s < sessions + FRAME_ENTER_PORTS; s++) {
		if (s->state != RUNS || s->program.pid != pid)
			continue;
		s->status = (uint8_t)(WIFSIGNALED(wait_status) ? 128 + WTERMSIG(wait_status) : WEXITSTATUS(wait_status));
		s->state = DRAINING;
		input_close(&s->input);
		finish(s);
	}
}
