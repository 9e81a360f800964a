#include "logs.h"

#include "fail.h"
#include "plan.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	LINE_BYTES = 16 * 1024,
	READ_BYTES = 64 * 1024,
	WRITE_BYTES = 128 * 1024,
	HEAD_BYTES = 64,
	NAME_BYTES = PLAN_MAX_NAME_BYTES + 16,
	DRAIN_READS = 64, /* more than a pipe holds, so that only a writer that goes on is cut off */
};

struct stream {
	int reader, writer;
	size_t length; /* of the line that has not ended yet */
	char line[LINE_BYTES];
};

struct log {
	const char *app;
	int directory, file;
	uint64_t size, max_bytes, lost;
	unsigned files;
	struct stream streams[2];
};

/* Shared by all logs: filled and written within one call. */
static char written[WRITE_BYTES];
static size_t pending, pending_lines;

static const char *const STREAM_NAMES[] = {"stdout", "stderr"};

static void name_of(const struct log *log, unsigned age, char *name)
{
	if (age == 0)
		snprintf(name, NAME_BYTES, "%s.log", log->app);
	else
		snprintf(name, NAME_BYTES, "%s.log.%u", log->app, age);
}

static void open_file(struct log *log)
{
	char name[NAME_BYTES];
	struct stat st;

	name_of(log, 0, name);
	log->file = openat(log->directory, name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	log->size = log->file >= 0 && fstat(log->file, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void rotate(struct log *log)
{
	char from[NAME_BYTES], to[NAME_BYTES];

	close(log->file);
	for (unsigned age = log->files - 1; age > 0; age--) {
		name_of(log, age - 1, from);
		name_of(log, age, to);
		if (renameat(log->directory, from, log->directory, to) < 0 && errno != ENOENT)
			warn_errno("%s", from);
	}
	name_of(log, 0, to);
	/* where a rename failed, or one file is all there may be: the bound counts for more than the old lines */
	if (unlinkat(log->directory, to, 0) < 0 && errno != ENOENT)
		warn_errno("%s", to);
	open_file(log);
}

/* All or nothing: of an entry that the disk had no room for nothing stays behind. */
static int append(struct log *log, const char *bytes, size_t size)
{
	size_t done = 0;

	if (log->file < 0)
		open_file(log);
	else if (log->size > 0 && log->size + size > log->max_bytes)
		rotate(log);
	if (log->file < 0)
		return -1;
	while (done < size) {
		ssize_t n = write(log->file, bytes + done, size - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			int err = errno;

			if (done > 0 && ftruncate(log->file, (off_t)log->size) < 0)
				log->size += done;
			errno = err;
			return -1;
		}
		done += (size_t)n;
	}
	log->size += size;
	return 0;
}

static size_t head(char *out, int stream, char tag)
{
	struct timespec now;
	struct tm utc;
	size_t at;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	at = strftime(out, HEAD_BYTES, "%Y-%m-%dT%H:%M:%S", &utc);
	return at + (size_t)snprintf(out + at, HEAD_BYTES - at, ".%09ldZ %s %c ", now.tv_nsec, STREAM_NAMES[stream], tag);
}

static void flush(struct log *log)
{
	char note[HEAD_BYTES + 128];
	size_t length;

	if (pending == 0)
		return;
	if (log->lost > 0) {
		length = head(note, 1, 'F');
		length += (size_t)snprintf(note + length, sizeof note - length,
					   "holdfast: %llu entries before this could not be written\n",
					   (unsigned long long)log->lost);
		if (append(log, note, length) == 0)
			log->lost = 0;
	}
	if (log->lost > 0 || append(log, written, pending) < 0)
		log->lost += pending_lines;
	pending = pending_lines = 0;
}

static void entry(struct log *log, int stream, char tag, const char *text, size_t length)
{
	if (pending + HEAD_BYTES + length + 1 > sizeof written)
		flush(log);
	pending += head(written + pending, stream, tag);
	memcpy(written + pending, text, length);
	pending += length;
	written[pending++] = '\n';
	pending_lines++;
}

static void take_bytes(struct log *log, int number, const char *bytes, size_t size)
{
	struct stream *s = &log->streams[number];

	for (size_t at = 0; at < size;) {
		const char *end = memchr(bytes + at, '\n', size - at);
		size_t rest = end != NULL ? (size_t)(end - bytes) - at : size - at;
		size_t taken = rest < sizeof s->line - s->length ? rest : sizeof s->line - s->length;

		memcpy(s->line + s->length, bytes + at, taken);
		s->length += taken;
		at += taken;
		if (end != NULL && taken == rest) {
			entry(log, number, 'F', s->line, s->length);
			s->length = 0;
			at++;
		} else if (s->length == sizeof s->line) {
			entry(log, number, 'P', s->line, s->length);
			s->length = 0;
		}
	}
}

void log_put(struct log *log, int stream, const char *bytes, size_t size)
{
	take_bytes(log, stream, bytes, size);
	flush(log);
}

/* Returns whether something was there. */
static int take(struct log *log, int number)
{
	static char bytes[READ_BYTES];
	ssize_t n;

	do
		n = read(log->streams[number].reader, bytes, sizeof bytes);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno != EAGAIN)
		fail_errno("log of %s", log->app);
	if (n <= 0)
		return 0;
	log_put(log, number, bytes, (size_t)n);
	return 1;
}

void log_take(struct log *log, int stream)
{
	take(log, stream);
}

void log_end(struct log *log, int stream)
{
	struct stream *s = &log->streams[stream];

	if (s->length > 0)
		entry(log, stream, 'P', s->line, s->length);
	s->length = 0;
	flush(log);
}

void log_drain(struct log *log)
{
	for (int i = 0; i < 2; i++) {
		for (int reads = 0; reads < DRAIN_READS && take(log, i); reads++)
			;
		log_end(log, i);
	}
}

struct log *log_open_unpiped(int directory, const char *app, uint64_t max_bytes, unsigned files)
{
	struct log *log = calloc(1, sizeof *log);

	if (log == NULL)
		fail("no memory for the log of %s", app);
	log->app = app;
	log->directory = directory;
	log->max_bytes = max_bytes;
	log->files = files;
	open_file(log);
	if (log->file < 0)
		warn_errno("log of %s", app); /* tried again with each entry */
	return log;
}

struct log *log_open(int directory, const char *app, uint64_t max_bytes, unsigned files)
{
	struct log *log = log_open_unpiped(directory, app, max_bytes, files);

	for (int i = 0; i < 2; i++) {
		int ends[2];

		if (pipe2(ends, O_CLOEXEC) < 0 || fcntl(ends[0], F_SETFL, O_NONBLOCK) < 0)
			fail_errno("log of %s", app);
		log->streams[i].reader = ends[0];
		log->streams[i].writer = ends[1];
	}
	return log;
}

int log_writer(const struct log *log, int stream)
{
	return log->streams[stream].writer;
}

int log_reader(const struct log *log, int stream)
{
	return log->streams[stream].reader;
}
