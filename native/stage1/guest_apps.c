#include "guest_apps.h"

#include "fail.h"
#include "guest_devices.h"
#include "mounts.h"
#include "name_files.h"
#include "users.h"
#include "verity.h"
#include "volumes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { DATA, HASHES, BLOCKS, ROOT_HASH, FIELDS, PATH_BYTES = 256, MODE = 0755 };
static const unsigned long MAX_BLOCKS = 1UL << 36, MAX_LAYER_BYTES = 1UL << 50;

static void make_directory(const char *path)
{
	if (mkdir(path, MODE) < 0)
		fail_errno("mkdir %s", path);
}

static void mount_writable(int plan, const char *devices)
{
	const char *serial = plan_read_text(plan, "writable");
	char number[DEVICE_NUMBER_BYTES], data[64], device[PATH_BYTES];
	unsigned major_number, minor_number;

	make_directory(GUEST_WRITABLE);
	if (strcmp(serial, "memory") == 0) {
		snprintf(data, sizeof data, "mode=0755,size=%lu", plan_read_number(plan, "memory-layer-bytes", MAX_LAYER_BYTES));
		if (mount("tmpfs", GUEST_WRITABLE, "tmpfs", MS_NOSUID | MS_NODEV, data) < 0)
			fail_errno("memory for writable layers");
		return;
	}
	devices_find_disk(serial, number);
	snprintf(device, sizeof device, "%s/writable", devices);
	if (sscanf(number, "%u:%u", &major_number, &minor_number) != 2 ||
	    mknod(device, S_IFBLK | 0600, makedev(major_number, minor_number)) < 0)
		fail_errno("disk %s", serial);
	if (mount(device, GUEST_WRITABLE, "ext4", MS_NOSUID | MS_NODEV, NULL) < 0)
		fail_errno("disk %s for writable layers", serial);
}

/* The first app whose image is on the same disk has mounted it. */
static size_t first_with(struct plan_list trees, size_t position)
{
	char *const *own = trees.item + position * FIELDS;
	size_t i = 0;

	while (strcmp(trees.item[i * FIELDS + DATA], own[DATA]) != 0)
		i++;
	for (int field = HASHES; field < FIELDS; field++)
		if (strcmp(trees.item[i * FIELDS + (size_t)field], own[field]) != 0)
			fail("trees: disk %s is one image for one app and another for another", own[DATA]);
	return i;
}

static void mount_tree(char *const *tree, size_t position, const char *devices)
{
	char data[DEVICE_NUMBER_BYTES], hashes[DEVICE_NUMBER_BYTES], path[PATH_BYTES], device[PATH_BYTES];
	struct verity v = {
		.name = tree[DATA],
		.data = data,
		.hashes = hashes,
		.blocks = plan_number(tree[BLOCKS], MAX_BLOCKS, "blocks"),
		.root_hash = tree[ROOT_HASH],
	};

	devices_find_disk(tree[DATA], data);
	devices_find_disk(tree[HASHES], hashes);
	snprintf(device, sizeof device, "%s/dm-%u", devices, verity_open(devices, &v));
	snprintf(path, sizeof path, "/s1/trees/%zu", position);
	make_directory(path);
	if (mount(device, path, "erofs", MS_RDONLY | MS_NODEV, NULL) < 0)
		fail_errno("EROFS of disk %s", tree[DATA]);
}

static void mount_app(int plan, const char *name, size_t tree, const struct users *users)
{
	char lower[PATH_BYTES], upper[PATH_BYTES], work[PATH_BYTES], target[PATH_BYTES];

	snprintf(lower, sizeof lower, "/s1/trees/%zu", tree);
	snprintf(target, sizeof target, GUEST_WRITABLE "/apps/%s", name);
	make_directory(target);
	snprintf(upper, sizeof upper, GUEST_WRITABLE "/apps/%s/upper", name);
	make_directory(upper);
	snprintf(work, sizeof work, GUEST_WRITABLE "/apps/%s/work", name);
	make_directory(work);
	snprintf(target, sizeof target, "/apps/%s", name);
	make_directory(target);
	mount_overlay(lower, upper, work, target);
	name_files_install(plan, target, users);
}

void guest_apps_mount(int plan, struct plan_list apps, const char *devices)
{
	struct plan_list trees = plan_read_records(plan, "trees", FIELDS);
	struct users users;

	if (trees.count / FIELDS != apps.count)
		fail("%zu apps planned, and %zu trees", apps.count, trees.count / FIELDS);
	users_read(plan, &users);
	if (users.namespace >= 0)
		fail("private-users: a virtual machine has its own");
	mount_writable(plan, devices);
	make_directory(GUEST_WRITABLE "/apps");
	for (size_t i = 0; i < apps.count; i++) {
		size_t tree = first_with(trees, i);

		if (tree == i)
			mount_tree(trees.item + i * FIELDS, i, devices);
		mount_app(plan, apps.item[i], tree, &users);
	}
	if (chdir(GUEST_WRITABLE) < 0)
		fail_errno(GUEST_WRITABLE);
	volumes_mount(plan, "/s1/volumes", &users);
	if (chdir("/") < 0)
		fail_errno("/");
}

static void unmount(const char *path)
{
	/* what is not mounted was not there to be mounted */
	while (umount2(path, UMOUNT_NOFOLLOW) == 0)
		;
	if (errno != EINVAL && errno != ENOENT)
		warn_errno("unmounting %s", path);
}

void guest_apps_unmount(struct plan_list apps)
{
	char path[PATH_BYTES];

	for (size_t i = 0; i < apps.count; i++) {
		snprintf(path, sizeof path, "/apps/%s", apps.item[i]);
		unmount(path);
	}
	for (size_t i = 0; i < PLAN_MAX_VOLUMES; i++) {
		snprintf(path, sizeof path, "/s1/volumes/%zu", i);
		unmount(path);
		snprintf(path, sizeof path, GUEST_WRITABLE "/shares/v%zu", i);
		unmount(path);
	}
	unmount(GUEST_WRITABLE);
	sync();
}
