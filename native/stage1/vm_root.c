#include "vm_root.h"

#include "fail.h"
#include "mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ALIGNMENT = 4, MAX_ARCHIVE_BYTES = 64 << 20 };

/* What the dynamic loader's paths begin with: links into /usr on most hosts, directories on some. */
static const char *const LOADER_PATHS[] = {"/bin", "/lib", "/lib32", "/lib64", "/libx32"};
static const char *const DEVICES[] = {"/dev/null", "/dev/urandom"};

static void path_of(char *path, const char *root, const char *name)
{
	if (snprintf(path, PATH_MAX, "%s%s", root, name) >= PATH_MAX)
		fail("%s: too long", name);
}

static void make_directory(const char *root, const char *name)
{
	char path[PATH_MAX];

	path_of(path, root, name);
	if (mkdir(path, 0755) < 0)
		fail_errno("mkdir %s", path);
}

static int make_file(const char *root, const char *name)
{
	char path[PATH_MAX];
	int fd;

	path_of(path, root, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0)
		fail_errno("%s", path);
	return fd;
}

static void bind_file(const char *root, const char *source, const char *name, unsigned long flags)
{
	char path[PATH_MAX];

	close(make_file(root, name));
	path_of(path, root, name);
	mount_bind(source, path, flags);
}

static void bind_directory(const char *root, const char *name)
{
	char path[PATH_MAX];

	make_directory(root, name);
	path_of(path, root, name);
	mount_bind(name, path, MS_RDONLY | MS_NOSUID | MS_NODEV);
}

static void add_loader_path(const char *root, const char *name)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (lstat(name, &st) < 0)
		return; /* this host has none */
	if (S_ISDIR(st.st_mode)) {
		bind_directory(root, name);
		return;
	}
	n = readlink(name, target, sizeof target - 1);
	if (n < 0)
		fail_errno("%s", name);
	target[n] = 0;
	path_of(path, root, name);
	if (symlink(target, path) < 0)
		fail_errno("%s", path);
}

/* A device is by its path what the host's is; anything else would be a hole into the host. */
static void add_device(const char *root, const char *name)
{
	struct stat st;

	if (strncmp(name, "/dev/", 5) != 0 || strchr(name + 5, '/') != NULL || lstat(name, &st) < 0 || !S_ISCHR(st.st_mode))
		fail("%s is no device", name);
	bind_file(root, name, name, MS_NOSUID | MS_NOEXEC);
}

static void append(int to, const char *name, int from)
{
	struct stat st;
	off_t done = 0;

	if (from < 0 || fstat(from, &st) < 0)
		fail_errno("%s", name);
	if (!S_ISREG(st.st_mode) || st.st_size > MAX_ARCHIVE_BYTES)
		fail("%s is no archive of at most %d bytes", name, MAX_ARCHIVE_BYTES);
	while (done < st.st_size)
		if (sendfile(to, from, &done, (size_t)(st.st_size - done)) <= 0)
			fail_errno("copying %s", name);
	/* the kernel looks for the next archive at a multiple of 4 */
	if (write(to, "\0\0\0", (size_t)(-st.st_size & (ALIGNMENT - 1))) < 0)
		fail_errno("padding %s", name);
	close(from);
}

static void make_initrd(const char *root, const char *stage1, int plan)
{
	char initramfs[PATH_MAX];
	int fd = make_file(root, "/stage1/initrd");

	path_of(initramfs, stage1, "/initramfs");
	append(fd, "initramfs", open(initramfs, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
	append(fd, "pod.cpio", openat(plan, "pod.cpio", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
	append(fd, "addresses.cpio", openat(plan, "addresses.cpio", O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
	close(fd);
}

void vm_root_make_programs(const char *root)
{
	mount_bind(root, root, MS_NOSUID | MS_NODEV);
	bind_directory(root, "/usr");
	for (size_t i = 0; i < sizeof LOADER_PATHS / sizeof *LOADER_PATHS; i++)
		add_loader_path(root, LOADER_PATHS[i]);
	make_directory(root, "/etc");
	if (access("/etc/ld.so.cache", F_OK) == 0)
		bind_file(root, "/etc/ld.so.cache", "/etc/ld.so.cache", MS_RDONLY | MS_NOSUID | MS_NODEV);
	make_directory(root, "/dev");
	for (size_t i = 0; i < sizeof DEVICES / sizeof *DEVICES; i++)
		add_device(root, DEVICES[i]);
}

void vm_root_make(const char *root, const char *stage1, int plan, struct plan_list devices)
{
	char kernel[PATH_MAX];

	vm_root_make_programs(root);
	for (size_t i = 0; i < devices.count; i++)
		add_device(root, devices.item[i]);
	make_directory(root, "/run");
	make_directory(root, "/run/holdfast");
	make_directory(root, "/stage1");
	path_of(kernel, stage1, "/vmlinuz");
	bind_file(root, kernel, "/stage1/vmlinuz", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC);
	make_initrd(root, stage1, plan);
}

void vm_root_close(const char *root)
{
	if (mount(NULL, root, NULL, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) < 0)
		fail_errno("making %s read-only", root);
}
