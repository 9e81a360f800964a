#include "guest_root.h"

#include "fail.h"
#include "plan_copy.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NEW_ROOT "/run"

static const unsigned long KERNEL_FILES = MS_NOSUID | MS_NODEV | MS_NOEXEC;

static void make_directory(const char *path)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		fail_errno("mkdir %s", path);
}

static void mount_new(const char *type, const char *path, unsigned long flags, const char *data)
{
	make_directory(path);
	if (mount(type, path, type, flags, data) < 0)
		fail_errno("%s on %s", type, path);
}

static void write_kernel(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
		fail_errno("%s", path);
	close(fd);
}

void guest_root_begin(void)
{
	mount_new("tmpfs", NEW_ROOT, MS_NOSUID | MS_NODEV, "mode=0755,size=32m");
	make_directory(NEW_ROOT "/s1");
	mount_new("proc", NEW_ROOT "/proc", KERNEL_FILES, NULL);
	mount_new("sysfs", NEW_ROOT "/sys", KERNEL_FILES, NULL);
	mount_new("cgroup2", NEW_ROOT "/sys/fs/cgroup", KERNEL_FILES, NULL);
	mount_new("devtmpfs", NEW_ROOT GUEST_DEVICES, MS_NOSUID | MS_NOEXEC, NULL);
	/* a kernel that is not what it was must end, whatever its command line says */
	write_kernel(NEW_ROOT "/proc/sys/kernel/panic_on_oops", "1");
	write_kernel(NEW_ROOT "/proc/sys/kernel/panic", "-1");
	reboot(RB_DISABLE_CAD);
}

/* What was mounted meanwhile stays: only files of the file system `device` are removed. */
static void empty(int directory, dev_t device)
{
	DIR *all = fdopendir(directory);
	struct dirent *entry;

	if (all == NULL)
		fail_errno("initramfs");
	while ((entry = readdir(all)) != NULL) {
		struct stat st;
		int below;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (fstatat(directory, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != device)
			continue;
		if (S_ISDIR(st.st_mode)) {
			below = openat(directory, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			if (below < 0)
				fail_errno("initramfs");
			empty(below, device);
		}
		if (unlinkat(directory, entry->d_name, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0) < 0 && errno != EBUSY && errno != ENOTEMPTY)
			fail_errno("initramfs");
	}
	closedir(all);
}

void guest_root_switch(void)
{
	static const char *const directories[] = {"/s1/cgroups", "/s1/volumes", "/s1/enter", "/s1/trees", "/apps"};
	int plan = open("/s1/plan", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), initramfs;
	struct stat st;

	if (plan < 0)
		fail_errno("/s1/plan");
	close(plan_copy(plan, NEW_ROOT "/s1/plan"));
	initramfs = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (initramfs < 0 || fstat(initramfs, &st) < 0)
		fail_errno("initramfs");
	empty(initramfs, st.st_dev);
	if (chdir(NEW_ROOT) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 || chdir("/") < 0)
		fail_errno("making a tmpfs the root");
	for (size_t i = 0; i < sizeof directories / sizeof *directories; i++)
		make_directory(directories[i]);
}

static void make_device(const char *path, unsigned minor_number, unsigned major_number)
{
	if (mknod(path, S_IFCHR | 0666, makedev(major_number, minor_number)) < 0 || chmod(path, 0666) < 0)
		fail_errno("%s", path);
}

static void make_link(const char *to, const char *path)
{
	if (symlink(to, path) < 0)
		fail_errno("%s", path);
}

void guest_root_make_devices(void)
{
	/* a limit, for an app that is root can write here */
	mount_new("tmpfs", "/dev", MS_NOSUID | MS_NOEXEC, "mode=0755,size=64k,nr_inodes=256");
	make_device("/dev/null", 3, 1);
	make_device("/dev/zero", 5, 1);
	make_device("/dev/full", 7, 1);
	make_device("/dev/random", 8, 1);
	make_device("/dev/urandom", 9, 1);
	make_device("/dev/tty", 0, 5);
	mount_new("devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5");
	mount_new("tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777,size=25%");
	mount_new("mqueue", "/dev/mqueue", KERNEL_FILES, NULL);
	make_link("pts/ptmx", "/dev/ptmx");
	make_link("/proc/self/fd", "/dev/fd");
	make_link("/proc/self/fd/0", "/dev/stdin");
	make_link("/proc/self/fd/1", "/dev/stdout");
	make_link("/proc/self/fd/2", "/dev/stderr");
}
