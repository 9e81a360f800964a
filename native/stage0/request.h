#ifndef HOLDFAST_REQUEST_H
#define HOLDFAST_REQUEST_H

#include <stddef.h>

/* As stage1/cli/stage0-protocol.ts reads it, with its length in front. */
struct request {
	unsigned char *bytes;
	size_t size;
};

/* A request for `run ARGUMENTS` here and now; .bytes is NULL where only a process of its own can carry it out. */
struct request request_make(int argc, char **argv);

#endif
