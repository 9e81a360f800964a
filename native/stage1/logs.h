#ifndef HOLDFAST_LOGS_H
#define HOLDFAST_LOGS_H

#include <stddef.h>
#include <stdint.h>

/*
 * Logs of apps in the format of the Container Runtime Interface: one line each of time (RFC 3339, nanoseconds, UTC),
 * `stdout` or `stderr`, `F` for a whole line or `P` for a piece of one, and the text. A piece ends where a line is
 * longer than 16 KiB, or where the app ended in the middle of it. What cannot be written, as on a full disk, is read
 * and lost, so that no app waits for the disk; the next entry that can be written says how much.
 */
struct log;

/* At most `max_bytes` in `files` files each app: <app>.log, <app>.log.1 and so on, in `directory`. */
struct log *log_open(int directory, const char *app, uint64_t max_bytes, unsigned files);

/* The same without pipes: what the app writes comes by log_put() from elsewhere, and the end of a stream by log_end(). */
struct log *log_open_unpiped(int directory, const char *app, uint64_t max_bytes, unsigned files);
void log_put(struct log *log, int stream, const char *bytes, size_t size);
void log_end(struct log *log, int stream);

/* The ends that the app writes to; they stay open here as well. `stream` is 0 for stdout, 1 for stderr. */
int log_writer(const struct log *log, int stream);

/* The end to be polled; log_take() reads what is there without waiting. */
int log_reader(const struct log *log, int stream);
void log_take(struct log *log, int stream);

/* Takes what a program that ended left in its pipes, unfinished lines too. */
void log_drain(struct log *log);

#endif
