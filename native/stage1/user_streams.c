#include "user_streams.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { INPUT_BYTES = 4096 };

void user_streams_open(struct user_streams *u, const struct stream_plan *plan, const struct guest_state *guest, int log_directory)
{
	u->kind = plan->kind;
	u->input = plan->kind != STREAMS_LOG && guest->app_count == 1 ? STDIN_FILENO : -1;
	sink_open(&u->sinks[0], STDOUT_FILENO);
	sink_open(&u->sinks[1], STDERR_FILENO);
	for (size_t i = 0; plan->kind == STREAMS_LOG && i < guest->app_count; i++)
		u->logs[i] = log_open_unpiped(log_directory, guest->apps[i].name, plan->log_bytes, plan->log_files);
}

void user_streams_flush(struct user_streams *u)
{
	size_t done = sink_write(&u->sinks[u->held_by], u->held.payload, u->held.size);

	u->held.payload += done;
	u->held.size -= (uint16_t)done;
}

static void put(struct user_streams *u, const struct frame *frame, int stream)
{
	if (u->kind == STREAMS_LOG) {
		log_put(u->logs[frame->channel], stream, (const char *)frame->payload, frame->size);
		return;
	}
	u->held = *frame;
	u->held_by = stream;
	user_streams_flush(u);
}

static const char *take_taken(struct user_streams *u, const struct frame *frame)
{
	uint32_t bytes;

	if (frame->size != sizeof bytes)
		return "TAKEN has another size";
	memcpy(&bytes, frame->payload, sizeof bytes);
	if (le32toh(bytes) > u->under_way)
		return "more input was taken than was given";
	u->under_way -= le32toh(bytes);
	return NULL;
}

static const char *take(struct user_streams *u, struct guest_state *guest, const struct frame *frame)
{
	int stream = frame->kind == FRAME_ERR;

	if (frame->channel >= guest->app_count)
		return "output of an app that is none";
	if (frame->kind == FRAME_TAKEN)
		return take_taken(u, frame);
	if (frame->kind != FRAME_OUT && frame->kind != FRAME_ERR)
		return "a kind that is none of streams";
	if (guest->apps[frame->channel].ended_streams >> stream & 1)
		return "output after its end";
	if (frame->size > 0) {
		put(u, frame, stream);
		return NULL;
	}
	guest_state_end_stream(guest, frame->channel, stream);
	if (u->kind == STREAMS_LOG)
		log_end(u->logs[frame->channel], stream);
	return NULL;
}

const char *user_streams_take(struct user_streams *u, struct guest_state *guest, struct frame_reader *reader)
{
	struct frame frame;
	int n = 0;

	while (u->held.size == 0 && (n = frames_next(reader, &frame)) > 0) {
		const char *wrong = take(u, guest, &frame);

		if (wrong != NULL)
			return wrong;
	}
	return n < 0 ? "a frame is too long" : NULL;
}

int user_streams_blocked_on(const struct user_streams *u)
{
	return u->held.size > 0 ? u->sinks[u->held_by].fd : -1;
}

int user_streams_wants_input(const struct user_streams *u, const struct frame_writer *writer)
{
	int has_room = u->under_way + INPUT_BYTES <= FRAME_INPUT_WINDOW && frames_room(writer) >= INPUT_BYTES;

	return has_room ? u->input : -1;
}

void user_streams_read(struct user_streams *u, struct frame_writer *writer)
{
	static char bytes[INPUT_BYTES];
	ssize_t n = read(u->input, bytes, sizeof bytes);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* a terminal that hung up gives an error: that is an end, too */
		u->input = -1;
		n = 0;
	}
	frames_put(writer, FRAME_IN, 0, bytes, (size_t)n);
	u->under_way += (uint32_t)n;
}
