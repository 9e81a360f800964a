#ifndef HOLDFAST_USERS_H
#define HOLDFAST_USERS_H

#include <sys/types.h>

/* How many users a pod with a user namespace has; those beyond are nobody's there. */
enum { USERS_COUNT = 65536 };

/* The users of a pod: user n of the pod is base + n outside. base is 0 where the pod has the users of the host. */
struct users {
	uid_t base;
	int namespace; /* one with these users, for mounts; the supervisor makes the pod's own. -1 where there is none */
};

/* Reads the plan file `private-users`. */
void users_read(int plan, struct users *users);

/* What `id` of the pod is outside; ends the process where the pod has no such user. */
uid_t users_outside(const struct users *users, unsigned long id);

/* Gives a file or directory to root of the pod. Does nothing where that is root of the host. */
void users_give(const struct users *users, const char *path);

/*
 * From now on files below the mount point `path` have owners of the pod: what belongs to user n on the disk is shown as
 * the pod's user n, and what the pod makes belongs to user n on the disk. Does nothing without users of the pod's own.
 */
void users_shift(const struct users *users, const char *path);

#endif
