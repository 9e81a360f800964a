#ifndef HOLDFAST_APP_H
#define HOLDFAST_APP_H

/*
 * Turns this freshly forked child of init into a program of the app as /s1/plan/apps/<name> says: cgroups, mount
 * namespace, root, working directory, capabilities, seccomp filter, user, program. `program` is the plan file of what is
 * run: argv, pre-start or post-stop. Of the descriptors above 2 only `report` stays open until the program is executed.
 * Does not return. What goes wrong is said on standard error and ends the process with 125 (set-up), 126 (not
 * executable) or 127 (not found).
 */
void app_become(const char *name, const char *program, int report) __attribute__((noreturn));

#endif
