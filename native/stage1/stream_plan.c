#include "stream_plan.h"

#include "fail.h"
#include "plan.h"

#include <fcntl.h>
#include <string.h>

enum { MAX_LOG_FILES = 64 };
static const unsigned long MAX_LOG_BYTES = 1UL << 40;

void stream_plan_read(const char *path, size_t app_count, struct stream_plan *plan)
{
	struct plan_list streams = plan_read_list(AT_FDCWD, path);

	if (streams.count == 1) {
		plan->kind = plan_choice(streams.item[0], "pass", "terminal", "streams") ? STREAMS_TERMINAL : STREAMS_PASS;
		if (plan->kind == STREAMS_TERMINAL && app_count != 1)
			fail("streams: there is one terminal for %zu apps", app_count);
		return;
	}
	if (streams.count != 3 || strcmp(streams.item[0], "log") != 0)
		fail("streams: wanted pass, terminal, or log with two numbers");
	plan->kind = STREAMS_LOG;
	plan->log_bytes = plan_number(streams.item[1], MAX_LOG_BYTES, "bytes of a log");
	plan->log_files = (unsigned)plan_number(streams.item[2], MAX_LOG_FILES, "log files");
	if (plan->log_bytes == 0 || plan->log_files == 0)
		fail("streams: a log has at least one file and one byte");
}
