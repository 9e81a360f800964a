#ifndef HOLDFAST_ROOTED_H
#define HOLDFAST_ROOTED_H

/*
 * Paths that the image decides on. A process that still has its privileges could leave its root through the links of
 * /proc (/proc/1/root, /proc/self/fd/N), so those are not followed: ELOOP. All return a descriptor with FD_CLOEXEC, or
 * -1 with errno.
 */

/* Opens `path` in the present root. */
int rooted_open(const char *path, int flags);

/* Opens `path` as if the directory `root` were the root: neither ".." nor a link leads out of it. */
int rooted_open_in(int root, const char *path, int flags);

/*
 * Opens (O_PATH) the directory `path` of `root` and makes what is missing of it, mode 0755. Each step goes by
 * rooted_open_in().
 */
int rooted_make_directory(int root, const char *path);

/* The same for a regular file, made empty where it is missing. */
int rooted_make_file(int root, const char *path);

#endif
