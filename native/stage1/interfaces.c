#include "interfaces.h"

#include "fail.h"
#include "network.h"
#include "plan.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAC, NAME, MTU, ADDRESSES, ROUTES, EMPTY, FIELDS };
enum { MAX_MTU = 65535, MAC_BYTES = 6, TEXT_BYTES = 64 };

struct request {
	struct nlmsghdr head;
	union {
		struct ifaddrmsg address;
		struct rtmsg route;
	};
	char attributes[128];
};

struct ip {
	int family, prefix;
	size_t size;
	unsigned char bytes[16];
};

static struct ifreq named(const char *name)
{
	struct ifreq request;

	memset(&request, 0, sizeof request);
	if (strlen(name) >= sizeof request.ifr_name || *name == 0)
		fail("interface %.40s: no name of an interface", name);
	strcpy(request.ifr_name, name);
	return request;
}

static void parse_mac(const char *text, unsigned char mac[MAC_BYTES])
{
	char canonical[TEXT_BYTES];

	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", mac, mac + 1, mac + 2, mac + 3, mac + 4, mac + 5) != MAC_BYTES)
		fail("interfaces: %.40s is no MAC address", text);
	snprintf(canonical, sizeof canonical, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	if (strcmp(canonical, text) != 0)
		fail("interfaces: %.40s is no MAC address", text);
}

/* The interface that has this address now goes to `name`. */
static void find(int fd, const char *mac_text, char name[IFNAMSIZ])
{
	DIR *all = opendir("/sys/class/net");
	unsigned char mac[MAC_BYTES];
	struct dirent *entry;

	parse_mac(mac_text, mac);
	if (all == NULL)
		fail_errno("/sys/class/net");
	while ((entry = readdir(all)) != NULL) {
		struct ifreq request;

		if (entry->d_name[0] == '.' || strlen(entry->d_name) >= IFNAMSIZ)
			continue;
		request = named(entry->d_name);
		if (ioctl(fd, SIOCGIFHWADDR, &request) == 0 && memcmp(request.ifr_hwaddr.sa_data, mac, MAC_BYTES) == 0) {
			strcpy(name, entry->d_name);
			closedir(all);
			return;
		}
	}
	fail("the host gives no interface %s", mac_text);
}

static void rename_interface(int fd, const char *mac, const char *name)
{
	char present[IFNAMSIZ];
	struct ifreq request;

	find(fd, mac, present);
	request = named(name);
	strcpy(request.ifr_newname, request.ifr_name);
	strcpy(request.ifr_name, present);
	if (ioctl(fd, SIOCSIFNAME, &request) < 0)
		fail_errno("naming an interface %s", name);
}

static void bring_up(int fd, const char *name, const char *mtu)
{
	struct ifreq request = named(name);

	if (*mtu != 0) {
		request.ifr_mtu = (int)plan_number(mtu, MAX_MTU, "MTU");
		if (ioctl(fd, SIOCSIFMTU, &request) < 0)
			fail_errno("MTU of %s", name);
	}
	request = named(name);
	if (ioctl(fd, SIOCGIFFLAGS, &request) < 0)
		fail_errno("flags of %s", name);
	request.ifr_flags |= IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		fail_errno("bringing %s up", name);
}

static void parse_ip(const char *text, struct ip *ip)
{
	ip->family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
	ip->size = ip->family == AF_INET6 ? 16 : 4;
	if (inet_pton(ip->family, text, ip->bytes) != 1)
		fail("interfaces: %.60s is no IP address", text);
}

static void parse_network(char *text, struct ip *ip)
{
	char *slash = strchr(text, '/');

	if (slash == NULL)
		fail("interfaces: %.60s has no prefix", text);
	*slash = 0;
	parse_ip(text, ip);
	ip->prefix = (int)plan_number(slash + 1, ip->size * 8, "prefix");
}

static void start(struct request *r, int type, size_t size)
{
	memset(r, 0, sizeof *r);
	r->head.nlmsg_len = NLMSG_LENGTH(size);
	r->head.nlmsg_type = (uint16_t)type;
	r->head.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
}

static void add(struct request *r, int type, const void *data, size_t size)
{
	struct rtattr *attribute = (struct rtattr *)((char *)r + NLMSG_ALIGN(r->head.nlmsg_len));

	attribute->rta_type = (uint16_t)type;
	attribute->rta_len = (uint16_t)RTA_LENGTH(size);
	memcpy(RTA_DATA(attribute), data, size);
	r->head.nlmsg_len = (uint32_t)(NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(attribute->rta_len));
}

static void ask(int fd, const struct request *r, const char *what)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr answer;
		char more[512];
	} reply;

	if (send(fd, r, r->head.nlmsg_len, 0) < 0 || recv(fd, &reply, sizeof reply, 0) < (ssize_t)NLMSG_LENGTH(sizeof reply.answer))
		fail_errno("%s", what);
	errno = -reply.answer.error;
	if (reply.head.nlmsg_type != NLMSG_ERROR || errno != 0)
		fail_errno("%s", what);
}

static void add_address(int fd, unsigned interface, char *text)
{
	struct request r;
	struct ip ip;

	parse_network(text, &ip);
	start(&r, RTM_NEWADDR, sizeof r.address);
	r.address.ifa_family = (uint8_t)ip.family;
	r.address.ifa_prefixlen = (uint8_t)ip.prefix;
	r.address.ifa_flags = ip.family == AF_INET6 ? IFA_F_NODAD : 0; /* the host's network gave it to this one alone */
	r.address.ifa_index = interface;
	add(&r, IFA_LOCAL, ip.bytes, ip.size);
	add(&r, IFA_ADDRESS, ip.bytes, ip.size);
	ask(fd, &r, text);
}

static void add_route(int fd, unsigned interface, char *text)
{
	char *gateway = strchr(text, ',');
	struct request r;
	struct ip to, by;

	if (gateway != NULL)
		*gateway++ = 0;
	parse_network(text, &to);
	start(&r, RTM_NEWROUTE, sizeof r.route);
	r.route.rtm_family = (uint8_t)to.family;
	r.route.rtm_dst_len = (uint8_t)to.prefix;
	r.route.rtm_table = RT_TABLE_MAIN;
	r.route.rtm_protocol = RTPROT_STATIC;
	r.route.rtm_scope = gateway == NULL ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	r.route.rtm_type = RTN_UNICAST;
	if (to.prefix > 0)
		add(&r, RTA_DST, to.bytes, to.size);
	if (gateway != NULL) {
		parse_ip(gateway, &by);
		if (by.family != to.family)
			fail("interfaces: gateway %.60s is of another kind", gateway);
		add(&r, RTA_GATEWAY, by.bytes, by.size);
	}
	add(&r, RTA_OIF, &interface, sizeof interface);
	ask(fd, &r, text);
}

static void for_each(char *words, void (*take)(int fd, unsigned interface, char *word), int fd, unsigned interface)
{
	char *rest;

	for (char *word = strtok_r(words, " ", &rest); word != NULL; word = strtok_r(NULL, " ", &rest))
		take(fd, interface, word);
}

void interfaces_set_up(int plan)
{
	struct plan_list list = plan_read_records(plan, "interfaces", FIELDS);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), routing = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0 || routing < 0)
		fail_errno("socket");
	network_bring_loopback_up();
	/* first to names that none has, for what one is to be called may be what another is called now */
	for (size_t i = 0; i < list.count; i += FIELDS) {
		char name[IFNAMSIZ];

		snprintf(name, sizeof name, "s1-%u", (unsigned)(i / FIELDS));
		rename_interface(fd, list.item[i + MAC], name);
	}
	for (size_t i = 0; i < list.count; i += FIELDS) {
		const char *name = list.item[i + NAME];
		unsigned interface;

		rename_interface(fd, list.item[i + MAC], name);
		bring_up(fd, name, list.item[i + MTU]);
		interface = if_nametoindex(name);
		for_each(list.item[i + ADDRESSES], add_address, routing, interface);
		for_each(list.item[i + ROUTES], add_route, routing, interface);
	}
	close(routing);
	close(fd);
}
