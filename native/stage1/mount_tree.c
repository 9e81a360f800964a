#include "mount_tree.h"

#include <fcntl.h>
#include <linux/mount.h> /* does not go together with <sys/mount.h>, so this is a file of its own */
#include <sys/syscall.h>
#include <unistd.h>

#define PROPAGATE_PRIVATE (1 << 18) /* MS_PRIVATE of <sys/mount.h> */

int tree_clone(int fd, int recursive)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	return (int)syscall(SYS_open_tree, fd, "", flags);
}

int tree_set(int fd, int attributes)
{
	struct mount_attr set = {
		.attr_set = (attributes & TREE_READ_ONLY ? MOUNT_ATTR_RDONLY : 0) |
			    (attributes & TREE_NOSUID ? MOUNT_ATTR_NOSUID : 0) |
			    (attributes & TREE_NODEV ? MOUNT_ATTR_NODEV : 0),
		.propagation = attributes & TREE_PRIVATE ? PROPAGATE_PRIVATE : 0,
	};
	unsigned flags = AT_EMPTY_PATH | (attributes & TREE_RECURSIVE ? AT_RECURSIVE : 0);

	return (int)syscall(SYS_mount_setattr, fd, "", flags, &set, sizeof set);
}

int tree_map_owners(int tree, int users)
{
	struct mount_attr set = {.attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (unsigned)users};

	return (int)syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &set, sizeof set);
}

int tree_attach(int tree, int target)
{
	return (int)syscall(SYS_move_mount, tree, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}
