#include "network.h"

#include "fail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };
#define OWN_NAMESPACE "/proc/self/ns/net"

void network_bring_loopback_up(void)
{
	struct ifreq request;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail_errno("socket");
	memset(&request, 0, sizeof request);
	strcpy(request.ifr_name, "lo");
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		fail_errno("flags of lo");
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		fail_errno("bringing lo up");
	close(fd);
}

static void unshare_network(void)
{
	if (unshare(CLONE_NEWNET) < 0)
		fail_errno("network namespace");
	network_bring_loopback_up();
}

static void join_namespace(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		fail_errno("network namespace %s", path);
	if (setns(fd, CLONE_NEWNET) < 0) /* refuses whatever is no network namespace */
		fail_errno("joining the network namespace %s", path);
	close(fd);
}

void network_enter(const char *planned)
{
	if (strcmp(planned, "none") == 0)
		unshare_network(); /* unnamed, so it is gone with its last process */
	else if (planned[0] == '/')
		join_namespace(planned);
	else if (strcmp(planned, "host") != 0)
		fail("network is \"%s\", wanted none, host or a path", planned);
}

void network_open_ports(void)
{
	static const char path[] = "/proc/sys/net/ipv4/ip_unprivileged_port_start"; /* for IPv6, too */
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "0", 1) != 1)
		fail_errno("%s", path);
	close(fd);
}

static int make_shared(const char *directory)
{
	return mount(NULL, directory, NULL, MS_SHARED | MS_REC, NULL);
}

/* Others may be doing the same; the lock is on the directory itself, which a mount of it over itself does not change. */
static void share_directory_of(const char *path)
{
	char directory[PATH_BYTES];
	const char *slash = strrchr(path, '/');
	int fd;

	if (path[0] != '/' || slash == path || (size_t)(slash - path) >= sizeof directory)
		fail("network namespace %.100s: wanted an absolute path below a directory of its own", path);
	memcpy(directory, path, (size_t)(slash - path));
	directory[slash - path] = 0;
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || flock(fd, LOCK_EX) < 0)
		fail_errno("%s", directory);
	if (make_shared(directory) < 0) {
		if (errno != EINVAL) /* EINVAL: no mount point yet */
			fail_errno("sharing %s", directory);
		if (mount(directory, directory, NULL, MS_BIND | MS_REC, NULL) < 0 || make_shared(directory) < 0)
			fail_errno("making %s a mount point", directory);
	}
	close(fd);
}

void network_make_namespace(const char *path)
{
	int own = open(OWN_NAMESPACE, O_RDONLY | O_CLOEXEC);

	if (own < 0)
		fail_errno(OWN_NAMESPACE);
	share_directory_of(path);
	unshare_network();
	if (mount(OWN_NAMESPACE, path, NULL, MS_BIND, NULL) < 0)
		fail_errno("keeping a network namespace as %s", path);
	if (setns(own, CLONE_NEWNET) < 0)
		fail_errno("returning to the network namespace of the caller");
	close(own);
}

int network_is_namespace(const char *path)
{
	struct statfs found;

	return statfs(path, &found) == 0 && found.f_type == NSFS_MAGIC;
}

int network_remove_namespace(const char *path)
{
	if (umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
		return -1;
	return unlink(path) < 0 && errno != ENOENT ? -1 : 0;
}
