#ifndef HOLDFAST_APP_MOUNTS_H
#define HOLDFAST_APP_MOUNTS_H

/*
 * The plan's records `mounts` of one app (directory `plan`): volumes from /s1/volumes to places below the directory
 * `root`, which are made where they are missing. No link of the image leads out of its root, and none may put a volume
 * where the kernel's own files are. For a process in the mount namespace that becomes the app's.
 */
void app_mount_volumes(int plan, int root);

#endif
