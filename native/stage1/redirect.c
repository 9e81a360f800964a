#include "redirect.h"

#include "fail.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/netlink.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <linux/tc_act/tc_mirred.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MESSAGE_BYTES = 1024, PRIORITY = 1 };

/* A request with room for what it consists of here; all sizes are known beforehand. */
struct message {
	struct nlmsghdr header;
	struct tcmsg tc;
	char attributes[MESSAGE_BYTES];
} __attribute__((aligned(NLMSG_ALIGNTO)));

static struct rtattr *add(struct message *m, int type, const void *data, size_t size)
{
	struct rtattr *at = (struct rtattr *)((char *)m + NLMSG_ALIGN(m->header.nlmsg_len));

	at->rta_type = (unsigned short)type;
	at->rta_len = (unsigned short)RTA_LENGTH(size);
	if (size > 0)
		memcpy(RTA_DATA(at), data, size);
	m->header.nlmsg_len = NLMSG_ALIGN(m->header.nlmsg_len) + RTA_ALIGN(at->rta_len);
	return at;
}

static void end(const struct message *m, struct rtattr *nest)
{
	nest->rta_len = (unsigned short)((const char *)m + m->header.nlmsg_len - (const char *)nest);
}

static void begin(struct message *m, int type, int interface)
{
	memset(m, 0, sizeof *m);
	m->header.nlmsg_len = NLMSG_LENGTH(sizeof m->tc);
	m->header.nlmsg_type = (uint16_t)type;
	m->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL;
	m->tc.tcm_family = AF_UNSPEC;
	m->tc.tcm_ifindex = interface;
}

/* Returns 0, or the errno that the kernel answers with. */
static int ask(int fd, const struct message *m)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
		char more[MESSAGE_BYTES];
	} answer;
	ssize_t n;

	if (send(fd, m, m->header.nlmsg_len, 0) < 0)
		fail_errno("rtnetlink");
	do
		n = recv(fd, &answer, sizeof answer, 0);
	while (n < 0 && errno == EINTR);
	if (n < (ssize_t)(sizeof answer.header + sizeof answer.error) || answer.header.nlmsg_type != NLMSG_ERROR)
		fail("rtnetlink gave no answer");
	return -answer.error.error;
}

static void add_redirection(struct message *m, int actions, int to)
{
	struct tc_mirred parameters = {.action = TC_ACT_STOLEN, .eaction = TCA_EGRESS_REDIR, .ifindex = (uint32_t)to};
	struct rtattr *list = add(m, actions, NULL, 0), *first = add(m, 1, NULL, 0), *options;

	add(m, TCA_ACT_KIND, "mirred", sizeof "mirred");
	options = add(m, TCA_ACT_OPTIONS, NULL, 0);
	add(m, TCA_MIRRED_PARMS, &parameters, sizeof parameters);
	end(m, options);
	end(m, first);
	end(m, list);
}

static void begin_filter(struct message *m, int from)
{
	begin(m, RTM_NEWTFILTER, from);
	m->tc.tcm_parent = TC_H_MAKE(TC_H_INGRESS, 0);
	m->tc.tcm_info = TC_H_MAKE(PRIORITY << 16, htons(ETH_P_ALL));
}

static int match_all(int fd, int from, int to)
{
	struct message m;
	struct rtattr *options;

	begin_filter(&m, from);
	add(&m, TCA_KIND, "matchall", sizeof "matchall");
	options = add(&m, TCA_OPTIONS, NULL, 0);
	add_redirection(&m, TCA_MATCHALL_ACT, to);
	end(&m, options);
	return ask(fd, &m);
}

/* The same for a kernel without cls_matchall: 32 bits, none of which is looked at. */
static int match_no_bits(int fd, int from, int to)
{
	struct {
		struct tc_u32_sel head;
		struct tc_u32_key key;
	} selector = {.head = {.flags = TC_U32_TERMINAL, .nkeys = 1}};
	struct message m;
	struct rtattr *options;

	begin_filter(&m, from);
	add(&m, TCA_KIND, "u32", sizeof "u32");
	options = add(&m, TCA_OPTIONS, NULL, 0);
	add(&m, TCA_U32_SEL, &selector, sizeof selector);
	add_redirection(&m, TCA_U32_ACT, to);
	end(&m, options);
	return ask(fd, &m);
}

void redirect(int from, int to)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	struct message m;

	if (fd < 0)
		fail_errno("rtnetlink");
	begin(&m, RTM_NEWQDISC, from);
	m.tc.tcm_handle = TC_H_MAKE(TC_H_INGRESS, 0);
	m.tc.tcm_parent = TC_H_INGRESS;
	add(&m, TCA_KIND, "ingress", sizeof "ingress");
	errno = ask(fd, &m);
	if (errno != 0)
		fail_errno("ingress of interface %d", from);
	errno = match_all(fd, from, to);
	if (errno == ENOENT || errno == EOPNOTSUPP)
		errno = match_no_bits(fd, from, to);
	if (errno != 0)
		fail_errno("joining the interfaces %d and %d", from, to);
	close(fd);
}
