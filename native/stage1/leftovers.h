#ifndef HOLDFAST_LEFTOVERS_H
#define HOLDFAST_LEFTOVERS_H

#include <stdint.h>

/* SIGKILL to every process in the app's cgroups; nothing where it has none of its own. */
void leftovers_kill(const char *app);

/* The count that the kernel keeps in memory.oom_control or memory.events; 0 for the descriptor -1. */
uint64_t oom_kills(int fd);

#endif
