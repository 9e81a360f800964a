#ifndef HOLDFAST_GUEST_ENTER_PROFILE_H
#define HOLDFAST_GUEST_ENTER_PROFILE_H

#include "frames.h"

#include <stddef.h>

enum { ENTER_PROFILE_PATH_BYTES = 32 };

/* The profile of one session, put together file by file. */
struct enter_profile {
	char path[ENTER_PROFILE_PATH_BYTES];
	int directory; /* -1: there is none */
	size_t bytes;
	unsigned pieces;
};

/* Makes the directory /s1/enter/<number>. Both return NULL, or why not. */
const char *enter_profile_make(struct enter_profile *profile, unsigned number);

/* Adds a piece to a file, as a frame FILE says. */
const char *enter_profile_add(struct enter_profile *profile, const struct frame *frame);

void enter_profile_remove(struct enter_profile *profile);

#endif
