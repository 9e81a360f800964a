#include "status.h"

#include "fail.h"
#include "plan.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NAME_BYTES = PLAN_MAX_NAME_BYTES + 16, TEXT_BYTES = 512, VM_TEXT_BYTES = 16 * 1024 };

static const char *const PHASES[] = {"waiting", "pre-start", "running", "post-stop", "restarting", "ended"};
static const char *const DURING[] = {"", "pre-start", "main", "post-stop"};
static const char *const POD_PHASES[] = {"starting", "running", "stopping", "ended"};

/* Written under another name and renamed. The pod still ends with the right exit status where its disk is full. */
static void replace(int directory, const char *name, const char *text, int lasting)
{
	char temporary[NAME_BYTES + 8];
	ssize_t length = (ssize_t)strlen(text);
	int fd;

	snprintf(temporary, sizeof temporary, ".%s.new", name);
	fd = openat(directory, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0 || write(fd, text, (size_t)length) != length || (lasting && fsync(fd) < 0) ||
	    renameat(directory, temporary, directory, name) < 0 || (lasting && fsync(directory) < 0))
		warn_errno("status %s", name);
	if (fd >= 0)
		close(fd);
}

void status_write(int directory, const char *app, const struct app_status *s)
{
	char name[NAME_BYTES], text[TEXT_BYTES];
	int at;

	snprintf(name, sizeof name, "%s.json", app);
	at = snprintf(text, sizeof text, "{\"phase\":\"%s\",\"pid\":%d,\"restarts\":%u,\"oomKills\":%llu", PHASES[s->phase],
		      (int)s->pid, s->restarts, (unsigned long long)s->oom_kills);
	if (s->started_at_ms != 0)
		at += snprintf(text + at, sizeof text - (size_t)at, ",\"startedAtMs\":%lld", (long long)s->started_at_ms);
	if (s->during != DURING_NOTHING)
		at += snprintf(text + at, sizeof text - (size_t)at,
			       ",\"finishedAtMs\":%lld,\"exitStatus\":%d,\"during\":\"%s\"", (long long)s->finished_at_ms,
			       s->exit_status, DURING[s->during]);
	if (s->during != DURING_NOTHING && s->signal != 0)
		at += snprintf(text + at, sizeof text - (size_t)at, ",\"signal\":%d", s->signal);
	snprintf(text + at, sizeof text - (size_t)at, "}\n");
	replace(directory, name, text, 0);
}

void status_write_exit(int directory, const char *app, int exit_status)
{
	char text[16];

	snprintf(text, sizeof text, "%d", exit_status);
	replace(directory, app, text, 1);
}

void status_write_pod(int directory, enum pod_phase phase, int64_t ready_at_ms)
{
	char text[TEXT_BYTES];

	if (ready_at_ms == 0)
		snprintf(text, sizeof text, "{\"phase\":\"%s\"}\n", POD_PHASES[phase]);
	else
		snprintf(text, sizeof text, "{\"phase\":\"%s\",\"readyAtMs\":%lld}\n", POD_PHASES[phase],
			 (long long)ready_at_ms);
	replace(directory, "_pod.json", text, 0);
}

/* The characters of a JSON string, all of ASCII. What does not fit in `size` bytes is cut off. */
static void escape(const char *text, char *out, size_t size)
{
	size_t at = 0;

	for (const unsigned char *c = (const unsigned char *)text; *c != 0 && at + sizeof "\\u0000" <= size; c++) {
		if (*c == '"' || *c == '\\')
			at += (size_t)snprintf(out + at, size - at, "\\%c", *c);
		else if (*c < ' ' || *c > '~')
			at += (size_t)snprintf(out + at, size - at, "\\u%04x", *c);
		else
			out[at++] = (char)*c;
	}
	out[at] = 0;
}

void status_write_vm(int directory, const char *end, const char *message)
{
	static char text[VM_TEXT_BYTES], escaped[VM_TEXT_BYTES - 128];

	escape(message, escaped, sizeof escaped);
	snprintf(text, sizeof text, "{\"end\":\"%s\",\"message\":\"%s\"}\n", end, escaped);
	replace(directory, "_vm.json", text, 0);
}
