#include "qmp.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

static void say(int fd, const char *line)
{
	/* who does not take fifty bytes is not listening, and its end is noticed elsewhere */
	if (send(fd, line, strlen(line), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return;
}

static int is_event(const char *line, const char *name)
{
	const char *found = strstr(line, "\"event\": \"");

	if (found == NULL)
		return 0;
	found += strlen("\"event\": \"");
	return strncmp(found, name, strlen(name)) == 0 && found[strlen(name)] == '"';
}

static int is_because(const char *line, const char *reason)
{
	const char *found = strstr(line, "\"reason\": \"");

	if (found == NULL)
		return 0;
	found += strlen("\"reason\": \"");
	return strncmp(found, reason, strlen(reason)) == 0 && found[strlen(reason)] == '"';
}

static void take_line(struct qmp *qmp, int fd, const char *line)
{
	if (!qmp->negotiated && strncmp(line, "{\"QMP\":", strlen("{\"QMP\":")) == 0) {
		qmp->negotiated = 1;
		say(fd, "{\"execute\":\"qmp_capabilities\"}\n");
	} else if (is_event(line, "GUEST_PANICKED")) {
		qmp->seen.crashed = 1;
	} else if (is_event(line, "SHUTDOWN")) {
		qmp->seen.shutdown = 1;
		if (is_because(line, "guest-shutdown"))
			qmp->seen.guest_shutdown = 1;
		if (is_because(line, "guest-panic") || is_because(line, "guest-reset"))
			qmp->seen.crashed = 1;
	}
}

int qmp_take(struct qmp *qmp, int fd)
{
	ssize_t n = recv(fd, qmp->line + qmp->length, sizeof qmp->line - 1 - qmp->length, MSG_DONTWAIT);
	char *start = qmp->line, *newline;

	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 1 : 0;
	if (n == 0)
		return 0;
	qmp->length += (size_t)n;
	while ((newline = memchr(start, '\n', qmp->length - (size_t)(start - qmp->line))) != NULL) {
		*newline = 0;
		take_line(qmp, fd, start);
		start = newline + 1;
	}
	qmp->length -= (size_t)(start - qmp->line);
	memmove(qmp->line, start, qmp->length);
	return qmp->length == sizeof qmp->line - 1 ? -1 : 1;
}

void qmp_quit(int fd)
{
	say(fd, "{\"execute\":\"quit\"}\n");
}
