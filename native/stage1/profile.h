#ifndef HOLDFAST_PROFILE_H
#define HOLDFAST_PROFILE_H

#include "plan.h"

#include <stdint.h>

/* What a program of an app is run with, as the files of a plan's apps/<app> or of an exec profile say. */
struct profile {
	struct plan_list argv, env;
	const char *cwd;
	const char *user, *group;
	struct plan_list groups;
	uint64_t capabilities;
	int no_new_privileges, read_only_root;
	struct plan_bytes seccomp;
	struct plan_list oom_score_adj;
	struct plan_list security_labels; /* pairs */
	/* for the caller to set: standard input is a terminal that becomes the user's; the program is killed with its parent */
	int terminal, ends_with_parent;
};

/*
 * Reads a profile from the directory `plan`. `argv` is the name of the file with the program: argv, or an event
 * handler's.
 */
void profile_read(int plan, const char *argv, struct profile *p);

/* Writes the profile's oom_score_adj, where it has one, for this process and those that it starts. */
void profile_set_oom_score(const struct profile *p);

/*
 * For a process that is in the app's root already and has no descriptor open that the app may not have: becomes the
 * program. /proc must be the pod's own.
 */
void profile_execute(const struct profile *p) __attribute__((noreturn));

/* All signals as a new program expects them: default actions, nothing blocked. */
void reset_signals(void);

/* Drops every other capability from the bounding set. */
void profile_limit_bounding_set(uint64_t keep);

#endif
