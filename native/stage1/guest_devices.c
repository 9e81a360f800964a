#include "guest_devices.h"

#include "clock.h"
#include "fail.h"
#include "plan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_BYTES = 512, TEXT_BYTES = 64, WAIT_MS = 30000 };

void devices_load_modules(void)
{
	struct plan_list order = plan_read_list(AT_FDCWD, "/modules/order");

	for (size_t i = 0; i < order.count; i++) {
		char path[PATH_BYTES];
		int fd;

		snprintf(path, sizeof path, "/modules/%s", order.item[i]);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			fail_errno("%s", path);
		/* ENODEV, EPERM: a faster way of hashing that this processor does not have, or that the command line forbids */
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST && errno != ENODEV && errno != EPERM)
			fail_errno("loading %s", path);
		close(fd);
	}
}

/* The first line of a small file; empty where there is none. */
static void read_text(const char *path, char text[TEXT_BYTES])
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, TEXT_BYTES - 1);

	if (fd >= 0)
		close(fd);
	text[n > 0 ? n : 0] = 0;
	text[strcspn(text, "\n")] = 0;
}

/* Looks for the one in /sys/<directory> whose <attribute> is `value`; its name goes to `name`. */
static int find(const char *directory, const char *attribute, const char *value, char name[TEXT_BYTES])
{
	DIR *all = opendir(directory);
	struct dirent *entry;
	int found = 0;

	if (all == NULL && errno == ENOENT)
		return 0;
	if (all == NULL)
		fail_errno("%s", directory);
	while (!found && (entry = readdir(all)) != NULL) {
		char path[PATH_BYTES], text[TEXT_BYTES];

		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= TEXT_BYTES)
			continue;
		snprintf(path, sizeof path, "%s/%s/%s", directory, entry->d_name, attribute);
		read_text(path, text);
		found = strcmp(text, value) == 0;
		if (found)
			strcpy(name, entry->d_name);
	}
	closedir(all);
	return found;
}

static int watch(void)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK, .nl_groups = 1};
	int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_KOBJECT_UEVENT);

	if (fd < 0 || bind(fd, (struct sockaddr *)&kernel, sizeof kernel) < 0)
		fail_errno("watching for devices");
	return fd;
}

static int time_left(int64_t deadline, const char *name)
{
	int64_t left = deadline - monotonic_ms();

	if (left <= 0)
		fail("the host gives no port %s", name);
	return (int)left;
}

static void wait_until_there(const char *name, char device[TEXT_BYTES], int64_t deadline)
{
	struct pollfd events = {.fd = watch(), .events = POLLIN};
	char event[8192];

	while (!find("/sys/class/virtio-ports", "name", name, device)) {
		if (poll(&events, 1, time_left(deadline, name)) < 0 && errno != EINTR)
			fail_errno("poll");
		while (read(events.fd, event, sizeof event) > 0)
			;
	}
	close(events.fd);
}

/* poll(2) would return at once for as long as the other end is not there: edges are waited for. */
static void wait_until_connected(int port, const char *name, int64_t deadline)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = {.events = EPOLLOUT | EPOLLET};

	if (fd < 0 || epoll_ctl(fd, EPOLL_CTL_ADD, port, &event) < 0)
		fail_errno("port %s", name);
	do {
		int n = epoll_wait(fd, &event, 1, time_left(deadline, name));

		if (n < 0 && errno != EINTR)
			fail_errno("port %s", name);
		if (n <= 0)
			event.events = EPOLLHUP;
	} while (event.events & EPOLLHUP);
	close(fd);
}

int devices_open_port(const char *devices, const char *name)
{
	int64_t deadline = monotonic_ms() + WAIT_MS;
	char device[TEXT_BYTES], path[PATH_BYTES];
	int fd;

	wait_until_there(name, device, deadline);
	snprintf(path, sizeof path, "%s/%s", devices, device);
	fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		fail_errno("port %s", name);
	wait_until_connected(fd, name, deadline);
	return fd;
}

void devices_find_disk(const char *serial, char number[DEVICE_NUMBER_BYTES])
{
	char name[TEXT_BYTES], path[PATH_BYTES], text[TEXT_BYTES];

	if (!find("/sys/block", "serial", serial, name))
		fail("the host gives no disk %s", serial);
	snprintf(path, sizeof path, "/sys/block/%s/dev", name);
	read_text(path, text);
	if (snprintf(number, DEVICE_NUMBER_BYTES, "%s", text) >= DEVICE_NUMBER_BYTES || text[0] == 0)
		fail("disk %s has no number", serial);
}
