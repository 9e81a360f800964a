#ifndef HOLDFAST_ROOTED_H
#define HOLDFAST_ROOTED_H

/*
 * Opens a path that the image decides on, in the present root, with FD_CLOEXEC. A process that still has its privileges
 * could leave its root through the links of /proc (/proc/1/root, /proc/self/fd/N), so those are not followed: ELOOP.
 * Returns a descriptor, or -1 with errno.
 */
int rooted_open(const char *path, int flags);

#endif
