#ifndef HOLDFAST_IDENTITY_H
#define HOLDFAST_IDENTITY_H

#include "plan.h"

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
 * Turns user and group into numbers by /etc/passwd and /etc/group below the present root; only a process that is
 * already confined to the app's root may call this. They are names, decimal numbers, or absolute paths of files of the
 * image, whose owner it is then (App Container specification). An empty group is the user's own, or 0 for one that
 * /etc/passwd does not list. Supplementary groups are those whose lists in /etc/group name the user, and `more`.
 */
void identity_resolve(const char *user, const char *group, struct plan_list more, struct identity *id);

#endif
