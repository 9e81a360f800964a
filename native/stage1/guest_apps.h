#ifndef HOLDFAST_GUEST_APPS_H
#define HOLDFAST_GUEST_APPS_H

#include "plan.h"

/* Where what the pod writes is kept: a tmpfs, or a disk of the host's. */
#define GUEST_WRITABLE "/s1/writable"

/*
 * Mounts what the plan says of the pod's storage: the images of apps, each block of which is verified while it is read,
 * their roots at /apps/<name>, and volumes at /s1/volumes/<n>. `devices` is where a devtmpfs is mounted.
 */
void guest_apps_mount(int plan, struct plan_list apps, const char *devices);

/* Unmounts it all, so that what was written is on the disk. Only with no process left besides this one. */
void guest_apps_unmount(struct plan_list apps);

#endif
