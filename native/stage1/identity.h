#ifndef HOLDFAST_IDENTITY_H
#define HOLDFAST_IDENTITY_H

#include <stddef.h>
#include <sys/types.h>

enum { IDENTITY_MAX_GROUPS = 1024 };

struct identity {
	uid_t uid;
	gid_t gid;
	size_t group_count;
	gid_t groups[IDENTITY_MAX_GROUPS];
};

/*
 * Turns user and group, names or decimal numbers, into numbers by /etc/passwd and /etc/group below the present root;
 * only an app that is already confined to its root may call this. An empty group is the user's own, or 0 for a number
 * that /etc/passwd does not list. Supplementary groups are those whose lists in /etc/group name the user.
 */
void identity_resolve(const char *user, const char *group, struct identity *id);

#endif
