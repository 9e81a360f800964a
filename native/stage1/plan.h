/*
 * Reading the plan directory. Its files hold lists whose items each end with a NUL; numbers are unsigned decimal.
 * Everything else was decided by stage0, so nothing here needs a parser. Anything unexpected ends the process through
 * fail().
 */
#ifndef HOLDFAST_PLAN_H
#define HOLDFAST_PLAN_H

#include <stddef.h>

enum {
	PLAN_MAX_FILE_BYTES = 4 << 20, /* execve takes 2 MiB of strings by default and never more than 6 */
	PLAN_MAX_ITEMS = 65536,
	PLAN_MAX_APPS = 64,
	PLAN_MAX_NAME_BYTES = 128,
	PLAN_MAX_VOLUMES = 256,
};

/*
 * Items in file order; item[count] is NULL, so that `item` is an argv or environ. Never freed: the process execs or
 * ends.
 */
struct plan_list {
	size_t count;
	char **item;
};

struct plan_bytes {
	size_t size;
	unsigned char *data;
};

/* `name` is relative to `dirfd` and may hold slashes; a symbolic link in its last part is refused. */
struct plan_bytes plan_read_bytes(int dirfd, const char *name, size_t max_bytes);
struct plan_list plan_read_list(int dirfd, const char *name);

/* A list whose length must be a multiple of `fields`. */
struct plan_list plan_read_records(int dirfd, const char *name, size_t fields);

/* 0 where `text` is `first`, 1 where it is `second`; `what` names it in the message. */
int plan_choice(const char *text, const char *first, const char *second, const char *what);

/* A list of exactly one item. */
char *plan_read_text(int dirfd, const char *name);

/* A list of one decimal number of at most `max`. */
unsigned long plan_read_number(int dirfd, const char *name, unsigned long max);

/* The whole text must be decimal digits without sign and at most `max`; `what` names it in the message. */
unsigned long plan_number(const char *text, unsigned long max, const char *what);

/* The apps of the pod in start order: plain names of a-z, 0-9 and '-', so that each is one path component. */
struct plan_list plan_read_apps(int dirfd, const char *name);

#endif
