#ifndef HOLDFAST_FAIL_H
#define HOLDFAST_FAIL_H

#include <stddef.h>

/* Exit statuses. 254 is Holdfast's own; 125-127 are what a shell's user expects of an app that never ran. */
enum { EXIT_HOLDFAST = 254, EXIT_SETUP = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

/* Which part speaks and which status fail() ends the process with; set once per process. */
void fail_as(const char *who, int status);

/* From now on a failing process writes one byte to `fd` before it ends: exec closes `fd`, so that silence means success. */
void fail_report_to(int fd);

/*
 * From now on a failure of this process, but of none that it forks, is given to `last_words` when it was said, without
 * the line's end. Where that returns the process ends as ever.
 */
void fail_through(void (*last_words)(const char *line, size_t size));

/* Says "holdfast WHO: MESSAGE: strerror(errno)" on standard error and ends the process. */
void fail_errno(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The same without errno. */
void fail(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* The same without ending the process. */
void warn(const char *format, ...) __attribute__((format(printf, 1, 2)));
void warn_errno(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
