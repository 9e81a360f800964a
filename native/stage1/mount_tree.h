#ifndef HOLDFAST_MOUNT_TREE_H
#define HOLDFAST_MOUNT_TREE_H

/*
 * Mounts by descriptor (open_tree(2), mount_setattr(2), move_mount(2)): what was opened and looked at is what is
 * mounted, whatever its name points to by then. All return -1 with errno where they fail, and 0 unless said otherwise.
 */

/* A copy of the mount below `fd` (a file or directory opened with O_PATH), not attached anywhere. Returns its descriptor. */
int tree_clone(int fd, int recursive);

enum { TREE_READ_ONLY = 1, TREE_NOSUID = 2, TREE_NODEV = 4, TREE_PRIVATE = 8, TREE_RECURSIVE = 16 };

/* Sets attributes of the mount that `fd` is the root of; TREE_PRIVATE cuts it off from what the host mounts later. */
int tree_set(int fd, int attributes);

/*
 * Shows the files of a copy made by tree_clone() with the owners that they have in the user namespace `users`. EINVAL
 * where the file system or this kernel cannot.
 */
int tree_map_owners(int tree, int users);

/* Attaches a copy made by tree_clone() on the file or directory `target`. */
int tree_attach(int tree, int target);

#endif
