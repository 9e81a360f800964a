#include "tap.h"

#include "fail.h"
#include "redirect.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAC_BYTES = 6 };

static void request(int socket_fd, unsigned long number, struct ifreq *r, const char *what)
{
	if (ioctl(socket_fd, number, r) < 0)
		fail_errno("%s of %.15s", what, r->ifr_name);
}

static struct ifreq of(const char *name)
{
	struct ifreq r;

	memset(&r, 0, sizeof r);
	if (name[0] == 0 || strlen(name) >= sizeof r.ifr_name)
		fail("\"%.40s\" is no name of an interface", name);
	strcpy(r.ifr_name, name);
	return r;
}

static void set_mac(int fd, const char *interface, const char *mac)
{
	struct ifreq r = of(interface);
	unsigned char bytes[MAC_BYTES];
	int end = 0;

	if (sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &bytes[0], &bytes[1], &bytes[2], &bytes[3], &bytes[4], &bytes[5],
		   &end) != MAC_BYTES ||
	    mac[end] != 0)
		fail("\"%.40s\" is no MAC address", mac);
	request(fd, SIOCGIFHWADDR, &r, "address");
	if (memcmp(r.ifr_hwaddr.sa_data, bytes, MAC_BYTES) == 0)
		return;
	memcpy(r.ifr_hwaddr.sa_data, bytes, MAC_BYTES);
	r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	request(fd, SIOCSIFHWADDR, &r, "setting the address");
}

/* Else IPv6 of this kernel would look for neighbours and routers among the guest. Absent where the kernel has no IPv6. */
static void silence(const char *tap)
{
	char path[96];
	int fd;

	snprintf(path, sizeof path, "/proc/sys/net/ipv6/conf/%s/disable_ipv6", tap);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || write(fd, "1", 1) != 1)
		fail_errno("%s", path);
	close(fd);
}

static int new_tap(const char *name)
{
	struct ifreq r = of(name);
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0)
		fail_errno("/dev/net/tun");
	r.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	if (ioctl(fd, TUNSETIFF, &r) < 0)
		fail_errno("making the tap %s", name);
	return fd;
}

static int index_of(int fd, const char *name)
{
	struct ifreq r = of(name);

	request(fd, SIOCGIFINDEX, &r, "index");
	return r.ifr_ifindex;
}

/* As large as the interface takes, and up. */
static void make_ready(int fd, const char *interface, const char *tap)
{
	struct ifreq mtu = of(interface), r = of(tap);

	request(fd, SIOCGIFMTU, &mtu, "MTU");
	r.ifr_mtu = mtu.ifr_mtu;
	request(fd, SIOCSIFMTU, &r, "setting the MTU");
	silence(tap);
	request(fd, SIOCGIFFLAGS, &r, "flags");
	r.ifr_flags |= IFF_UP;
	request(fd, SIOCSIFFLAGS, &r, "bringing up");
}

int tap_open(const char *interface, const char *mac, size_t position)
{
	char tap[IFNAMSIZ];
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), made, inside, outside;

	if (fd < 0)
		fail_errno("socket");
	snprintf(tap, sizeof tap, "holdfast%zu", position);
	outside = index_of(fd, interface);
	set_mac(fd, interface, mac);
	made = new_tap(tap);
	inside = index_of(fd, tap);
	make_ready(fd, interface, tap);
	redirect(inside, outside);
	redirect(outside, inside);
	close(fd);
	return made;
}
