#ifndef HOLDFAST_READ_ONLY_H
#define HOLDFAST_READ_ONLY_H

/* Makes the mount that `fd` is the root of, and all mounts below it, read-only. Returns 0, or -1 with errno. */
int mounts_read_only(int fd);

#endif
