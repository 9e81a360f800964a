#ifndef HOLDFAST_EXECUTE_H
#define HOLDFAST_EXECUTE_H

#include "plan.h"

/*
 * Executes argv[0] as execvp would, with the PATH of `env`: a name without '/' is looked for there, and a file that may
 * not be run does not end the search. Where that fails says so and ends with 126 (not executable) or 127 (not found).
 */
void execute(struct plan_list argv, struct plan_list env) __attribute__((noreturn));

#endif
