#ifndef HOLDFAST_STREAM_PLAN_H
#define HOLDFAST_STREAM_PLAN_H

#include <stddef.h>
#include <stdint.h>

/* Where the standard streams of apps go: the plan file `streams`. */
enum stream_kind { STREAMS_PASS, STREAMS_TERMINAL, STREAMS_LOG };

struct stream_plan {
	enum stream_kind kind;
	uint64_t log_bytes; /* of a file */
	unsigned log_files; /* of an app */
};

void stream_plan_read(const char *path, size_t app_count, struct stream_plan *plan);

#endif
