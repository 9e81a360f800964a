#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char *speaker = "stage1";
static int exit_status = EXIT_HOLDFAST;
static int report = -1;
static void (*tell)(const char *line, size_t size);
static pid_t teller;

void fail_as(const char *who, int status)
{
	speaker = who;
	exit_status = status;
}

void fail_report_to(int fd)
{
	report = fd;
}

void fail_through(void (*last_words)(const char *line, size_t size))
{
	tell = last_words;
	teller = getpid();
}

static void __attribute__((noreturn)) end(void)
{
	if (report >= 0 && write(report, "", 1) < 0)
		_exit(exit_status); /* the reader is gone: nobody waits for the report */
	_exit(exit_status);
}

static void say(const char *format, va_list args, int with_errno, int err, int is_last)
{
	char line[1024];
	ssize_t said;
	int at = snprintf(line, sizeof line, "holdfast%s%s: ", speaker[0] == '\0' ? "" : " ", speaker);
	int n = vsnprintf(line + at, sizeof line - at, format, args);

	at = n < (int)sizeof line - at ? at + n : (int)sizeof line - 1;
	if (with_errno) {
		n = snprintf(line + at, sizeof line - at, ": %s", strerror(err));
		at = n < (int)sizeof line - at ? at + n : (int)sizeof line - 1;
	}
	if (at > (int)sizeof line - 1)
		at = sizeof line - 1;
	line[at++] = '\n';
	/* one write, so that lines of several apps do not mix */
	said = write(STDERR_FILENO, line, at);
	(void)said; /* nobody is left to tell when it fails */
	if (is_last && tell != NULL && getpid() == teller)
		tell(line, (size_t)at - 1);
}

void fail_errno(const char *format, ...)
{
	int err = errno;
	va_list args;

	va_start(args, format);
	say(format, args, 1, err, 1);
	va_end(args);
	end();
}

void fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args, 0, 0, 1);
	va_end(args);
	end();
}

void warn(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	say(format, args, 0, 0, 0);
	va_end(args);
}

void warn_errno(const char *format, ...)
{
	int err = errno;
	va_list args;

	va_start(args, format);
	say(format, args, 1, err, 0);
	va_end(args);
}
