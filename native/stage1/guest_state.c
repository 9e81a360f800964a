#include "guest_state.h"

#include "clock.h"
#include "tail.h"

#include <endian.h>
#include <string.h>

enum { MAX_PID = 1 << 22, MAX_SIGNAL = 64 };
enum { BOTH_STREAMS = 3 };

/* What ends where a phase is left. */
static const enum during MAY_END[] = {
	[PRE_START] = DURING_PRE_START,
	[RUNNING] = DURING_MAIN,
	[POST_STOP] = DURING_POST_STOP,
	[ENDED] = DURING_NOTHING,
};

void guest_state_init(struct guest_state *guest, struct plan_list names, int status_directory)
{
	guest->app_count = names.count;
	for (size_t i = 0; i < names.count; i++)
		guest->apps[i].name = names.item[i];
	guest->status_directory = status_directory;
	guest->result = -1;
	status_write_pod(status_directory, POD_STARTING, 0);
}

static const char *take_app(struct guest_state *guest, struct guest_app *app, const struct frame *frame)
{
	struct frame_app said;
	struct app_status *s = &app->status;
	int has_ended;

	if (frame->size != sizeof said)
		return "the status of an app has another size";
	memcpy(&said, frame->payload, sizeof said);
	if (said.phase > ENDED)
		return "an app is in no phase that there is";
	if (said.during > DURING_POST_STOP)
		return "an app ended during nothing that there is";
	if (said.signal > MAX_SIGNAL || le32toh(said.pid) > MAX_PID)
		return "the status of an app has a number that is none";
	if (app->has_exit)
		return "an app that has ended for good goes on";
	has_ended = said.during != DURING_NOTHING &&
		    (s->finished_at_ms == 0 || (said.phase != s->phase && said.during == MAY_END[s->phase]));
	if (said.phase == RUNNING && s->phase != RUNNING)
		s->started_at_ms = wall_ms();
	if (has_ended)
		s->finished_at_ms = wall_ms();
	s->phase = said.phase;
	s->during = said.during;
	s->pid = (pid_t)le32toh(said.pid);
	s->restarts = le32toh(said.restarts);
	s->oom_kills = le64toh(said.oom_kills);
	s->exit_status = said.exit_status;
	s->signal = said.signal;
	status_write(guest->status_directory, app->name, s);
	return NULL;
}

static const char *take_pod(struct guest_state *guest, const struct frame *frame)
{
	if (frame->size != 1 || frame->payload[0] > POD_ENDED)
		return "the pod is in no phase that there is";
	if (frame->payload[0] < guest->phase)
		return "the pod went back to a phase before";
	guest->phase = frame->payload[0];
	if (guest->phase == POD_RUNNING && guest->ready_at_ms == 0)
		guest->ready_at_ms = wall_ms();
	status_write_pod(guest->status_directory, guest->phase, guest->ready_at_ms);
	return NULL;
}

static const char *take_hello(struct guest_state *guest, const struct frame *frame)
{
	uint32_t version;

	if (guest->greeted)
		return "a second HELLO";
	if (frame->size != sizeof version)
		return "HELLO has another size";
	memcpy(&version, frame->payload, sizeof version);
	if (le32toh(version) != FRAME_VERSION)
		return "HELLO has a version that is not this one's";
	guest->greeted = 1;
	return NULL;
}

static const char *take_failure(struct guest_state *guest, const struct frame *frame)
{
	if (frame->size > FAILURE_BYTES)
		return "FAILURE is too long";
	printable_text((const char *)frame->payload, frame->size, guest->failure, sizeof guest->failure);
	guest->has_failure = 1;
	return NULL;
}

const char *guest_state_take(struct guest_state *guest, const struct frame *frame)
{
	struct guest_app *app = frame->channel < guest->app_count ? &guest->apps[frame->channel] : NULL;
	int of_app = frame->kind == FRAME_APP || frame->kind == FRAME_APP_EXIT;

	if (of_app ? app == NULL : frame->channel != 0)
		return "a channel that is none";
	if (guest->result >= 0 || guest->has_failure)
		return "a frame after the last one";
	if (!guest->greeted && frame->kind != FRAME_HELLO && frame->kind != FRAME_FAILURE)
		return "a frame before HELLO";
	switch (frame->kind) {
	case FRAME_HELLO:
		return take_hello(guest, frame);
	case FRAME_APP:
		return take_app(guest, app, frame);
	case FRAME_APP_EXIT:
		if (frame->size != 1 || app->has_exit)
			return "an exit status that is none";
		app->has_exit = 1;
		status_write_exit(guest->status_directory, app->name, frame->payload[0]);
		return NULL;
	case FRAME_POD:
		return take_pod(guest, frame);
	case FRAME_RESULT:
		if (frame->size != 1)
			return "a result that is none";
		guest->result = frame->payload[0];
		return NULL;
	case FRAME_FAILURE:
		return take_failure(guest, frame);
	default:
		return "a kind that is none";
	}
}

void guest_state_end_stream(struct guest_state *guest, size_t app, int stream)
{
	guest->apps[app].ended_streams |= 1 << stream;
}

int guest_state_is_complete(const struct guest_state *guest)
{
	for (size_t i = 0; i < guest->app_count; i++)
		if (guest->apps[i].ended_streams != BOTH_STREAMS)
			return 0;
	return guest->result >= 0;
}

void guest_state_write_end(const struct guest_state *guest)
{
	status_write_pod(guest->status_directory, POD_ENDED, guest->ready_at_ms);
}
