#include "mounts.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOOP_ATTEMPTS = 64 }; /* another process may take the device that LOOP_CTL_GET_FREE named */

void private_mount_namespace(void)
{
	if (unshare(CLONE_NEWNS) < 0)
		fail_errno("mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		fail_errno("making / a slave mount");
}

void mount_tmpfs(const char *path, const char *size)
{
	char data[64];

	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		fail_errno("mkdir %s", path);
	snprintf(data, sizeof data, "mode=0755,size=%s", size);
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, data) < 0)
		fail_errno("tmpfs on %s", path);
}

/*
 * Attaches `fd` read-only to a free loop device that detaches itself when its last user goes. Returns the device, open.
 */
static int open_loop(int fd, char *name, size_t name_size)
{
	int control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);

	if (control < 0)
		fail_errno("/dev/loop-control (this kernel mounts no EROFS from a file, so a loop device is needed)");
	for (int i = 0; i < LOOP_ATTEMPTS; i++) {
		struct loop_config config = {.fd = (unsigned)fd, .block_size = 0};
		int number = ioctl(control, LOOP_CTL_GET_FREE);
		int loop;

		if (number < 0)
			fail_errno("finding a free loop device");
		snprintf(name, name_size, "/dev/loop%d", number);
		loop = open(name, O_RDONLY | O_CLOEXEC);
		if (loop < 0)
			fail_errno("%s", name);
		config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
		if (ioctl(loop, LOOP_CONFIGURE, &config) == 0) {
			close(control);
			return loop;
		}
		if (errno != EBUSY)
			fail_errno("attaching to %s", name);
		close(loop);
	}
	fail("no loop device came free in %d attempts", LOOP_ATTEMPTS);
}

void mount_erofs(int fd, const char *target)
{
	const unsigned long flags = MS_RDONLY | MS_NODEV;
	char source[32];
	int loop;

	snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
	if (mount(source, target, "erofs", flags, NULL) == 0)
		return;
	if (errno == ENODEV)
		fail_errno("this kernel has no EROFS");
	if (errno != ENOTBLK)
		fail_errno("EROFS on %s", target);
	loop = open_loop(fd, source, sizeof source);
	if (mount(source, target, "erofs", flags, NULL) < 0)
		fail_errno("EROFS on %s from %s", target, source);
	close(loop);
}

void mount_overlay(const char *lower, const char *upper, const char *work, const char *target)
{
	char data[1024];
	int n = snprintf(data, sizeof data, "lowerdir=%s,upperdir=%s,workdir=%s", lower, upper, work);

	if (n >= (int)sizeof data)
		fail("overlay on %s: names are too long", target);
	if (mount("overlay", target, "overlay", MS_NODEV, data) < 0)
		fail_errno("overlay on %s", target);
}

void mount_bind(const char *source, const char *target, unsigned long flags)
{
	if (mount(source, target, NULL, MS_BIND, NULL) < 0)
		fail_errno("bind mount of %s on %s", source, target);
	if (flags != 0 && mount(NULL, target, NULL, MS_BIND | MS_REMOUNT | flags, NULL) < 0)
		fail_errno("bind mount flags on %s", target);
}
