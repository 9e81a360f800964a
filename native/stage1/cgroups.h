#ifndef HOLDFAST_CGROUPS_H
#define HOLDFAST_CGROUPS_H

#include "plan.h"

/* Makes each absolute directory of the list and its missing parents, mode 0755. */
void cgroups_make(struct plan_list directories);

/* Writes settings: the list holds pairs of an absolute file and the text to be written. */
void cgroups_set(struct plan_list settings);

/* Moves this process, which has one thread, into the cgroups whose tasks or cgroup.procs files are listed. */
void cgroups_join(struct plan_list files);

/*
 * Loads an eBPF program of type CGROUP_DEVICE (8 bytes an instruction, as stage0 emitted it) and attaches it to the v2
 * cgroup `directory`, where it stays until the cgroup is removed.
 */
void cgroups_attach_device_policy(const char *directory, struct plan_bytes program);

#endif
