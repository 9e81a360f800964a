#include "read_only.h"

#include <fcntl.h>
#include <linux/mount.h> /* does not go together with <sys/mount.h>, so this is a file of its own */
#include <sys/syscall.h>
#include <unistd.h>

int mounts_read_only(int fd)
{
	struct mount_attr attributes = {.attr_set = MOUNT_ATTR_RDONLY};

	return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes, sizeof attributes);
}
