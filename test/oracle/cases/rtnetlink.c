// rtnetlink(7): devices that lead from one network namespace to another, bridges, what is told of
// changes. Each case is in a user namespace, and a network namespace, of its own.
#include "oracle.h"
#include <arpa/inet.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/neighbour.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <linux/veth.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/ioctl.h>

static void put(const char *path, const char *text)
{
	int f = OK(open(path, O_WRONLY));
	EQ(write(f, text, strlen(text)), strlen(text));
	OK(close(f));
}

// own_network enters a new user namespace, as root there, and a new network namespace.
static void own_network(void)
{
	OK(unshare(CLONE_NEWUSER | CLONE_NEWNET));
	put("/proc/self/setgroups", "deny");
	put("/proc/self/uid_map", "0 0 1");
	put("/proc/self/gid_map", "0 0 1");
}

// A request in the making.
struct request {
	struct nlmsghdr h;
	char body[1000];
};

static void *add(struct request *r, size_t n)
{
	void *p = (char *)r + NLMSG_ALIGN(r->h.nlmsg_len);
	memset(p, 0, n);
	r->h.nlmsg_len = NLMSG_ALIGN(r->h.nlmsg_len) + n;
	return p;
}

static struct rtattr *attribute(struct request *r, int type, const void *data, size_t n)
{
	struct rtattr *a = add(r, RTA_LENGTH(n));
	*a = (struct rtattr){RTA_LENGTH(n), type};
	if (n)
		memcpy(RTA_DATA(a), data, n);
	return a;
}

static void text(struct request *r, int type, const char *s) { attribute(r, type, s, strlen(s) + 1); }
static void word(struct request *r, int type, uint32_t v) { attribute(r, type, &v, sizeof v); }
static void end(struct request *r, struct rtattr *a) { a->rta_len = (char *)r + r->h.nlmsg_len - (char *)a; }

static struct request begin(int type, int flags)
{
	return (struct request){.h = {NLMSG_LENGTH(0), type, NLM_F_REQUEST | NLM_F_ACK | flags, 1, 0}};
}

// ask sends a request and returns the errno of the answer, 0 if it was carried out. reply, if not
// NULL, gets what else has been answered.
static int ask(struct request *r, struct request *reply)
{
	int s = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	EQ(send(s, r, r->h.nlmsg_len, 0), r->h.nlmsg_len);
	for (;;) {
		struct request a;
		CHECK(recv(s, &a, sizeof a, 0) >= (ssize_t)sizeof a.h);
		if (a.h.nlmsg_type == NLMSG_ERROR) {
			OK(close(s));
			return -((struct nlmsgerr *)NLMSG_DATA(&a.h))->error;
		}
		if (reply)
			*reply = a;
	}
}

// new_link begins a request for a device.
static struct request new_link(const char *name, const char *kind)
{
	struct request r = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	add(&r, sizeof(struct ifinfomsg));
	text(&r, IFLA_IFNAME, name);
	struct rtattr *info = attribute(&r, IFLA_LINKINFO, NULL, 0);
	text(&r, IFLA_INFO_KIND, kind);
	end(&r, info);
	return r;
}

// new_pair makes a pair whose second end is in the namespace of a process, 0: in the caller's.
static int new_pair(const char *name, const char *peer, int pid)
{
	struct request r = begin(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
	add(&r, sizeof(struct ifinfomsg));
	text(&r, IFLA_IFNAME, name);
	struct rtattr *info = attribute(&r, IFLA_LINKINFO, NULL, 0);
	text(&r, IFLA_INFO_KIND, "veth");
	struct rtattr *data = attribute(&r, IFLA_INFO_DATA, NULL, 0), *other = attribute(&r, VETH_INFO_PEER, NULL, 0);
	add(&r, sizeof(struct ifinfomsg));
	text(&r, IFLA_IFNAME, peer);
	if (pid)
		word(&r, IFLA_NET_NS_PID, pid);
	end(&r, other);
	end(&r, data);
	end(&r, info);
	return ask(&r, NULL);
}

// change sends one attribute of a device.
static int change(const char *name, int type, uint32_t value)
{
	struct request r = begin(RTM_NEWLINK, 0);
	struct ifinfomsg *i = add(&r, sizeof *i);
	i->ifi_index = if_nametoindex(name);
	word(&r, type, value);
	return ask(&r, NULL);
}

// up brings a device up with an address 10.0.0.LAST/8.
static void up(const char *name, int last)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct ifreq r = {0};
	strcpy(r.ifr_name, name);
	struct sockaddr_in *a = (void *)&r.ifr_addr;
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(0x0a000000 | last);
	if (last)
		OK(ioctl(s, SIOCSIFADDR, &r));
	r.ifr_flags = IFF_UP;
	OK(ioctl(s, SIOCSIFFLAGS, &r));
	OK(close(s));
}

static int flags_of(const char *name)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct ifreq r = {0};
	strcpy(r.ifr_name, name);
	int e = ioctl(s, SIOCGIFFLAGS, &r);
	OK(close(s));
	return e < 0 ? -1 : r.ifr_flags;
}

// A far namespace: a process that does in it what it is told, by a function's number and a word.
struct far {
	pid_t pid;
	int to, from;
};

enum { UP, EXISTS, ECHO, SEND };

static struct far far(const char *name)
{
	int up_[2], down[2];
	struct far f;
	OK(pipe(up_));
	OK(pipe(down));
	f.pid = OK(fork());
	if (f.pid == 0) {
		int order[2], answer = 0;
		OK(close(down[1]));
		OK(unshare(CLONE_NEWNET));
		OK(write(up_[1], &answer, sizeof answer));
		while (read(down[0], order, sizeof order) == sizeof order) {
			struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(4000)}, from;
			socklen_t n = sizeof from;
			char b[16];
			int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
			switch (order[0]) {
			case UP:
				up(name, order[1]);
				break;
			case EXISTS:
				answer = if_nametoindex(name) != 0;
				break;
			case ECHO:
				OK(bind(s, (void *)&a, sizeof a));
				OK(write(up_[1], &answer, sizeof answer));
				answer = OK(recvfrom(s, b, sizeof b, 0, (void *)&from, &n));
				OK(sendto(s, b, answer, 0, (void *)&from, n));
				break;
			case SEND:
				a.sin_addr.s_addr = htonl(0x0a000000 | order[1]);
				OK(sendto(s, "far", 3, 0, (void *)&a, sizeof a));
			}
			OK(close(s));
			OK(write(up_[1], &answer, sizeof answer));
		}
		_exit(0);
	}
	OK(close(down[0]));
	OK(close(up_[1]));
	f.to = down[1];
	f.from = up_[0];
	int answer;
	EQ(read(f.from, &answer, sizeof answer), sizeof answer);
	return f;
}

static int tell(struct far *f, int what, int word)
{
	int order[2] = {what, word}, answer;
	EQ(write(f->to, order, sizeof order), sizeof order);
	EQ(read(f->from, &answer, sizeof answer), sizeof answer);
	return answer;
}

// answered sends a datagram to 10.0.0.LAST, where ECHO is at work, until it is answered.
static void answered(int last)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(4000), .sin_addr.s_addr = htonl(0x0a000000 | last)};
	struct timeval t = {.tv_sec = 15};
	char b[16];
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	OK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	EQ(sendto(s, "near", 4, 0, (void *)&a, sizeof a), 4);
	EQ(recv(s, b, sizeof b, 0), 4);
	OK(close(s));
}

static void closed(struct far *f)
{
	OK(close(f->to));
	REAP(f->pid);
	OK(close(f->from));
}

CASE(rtnetlink_pair_between_namespaces)
{
	own_network();
	struct far f = far("there");
	EQ(new_pair("here", "there", f.pid), 0);
	EQ(new_pair("here", "else", 0), EEXIST);
	EQ(if_nametoindex("there"), 0);
	CHECK(if_nametoindex("here") > 1);
	EQ(flags_of("here") & (IFF_UP | IFF_RUNNING), 0);
	up("here", 1);
	EQ(tell(&f, EXISTS, 0), 1);
	tell(&f, UP, 2);
	WAIT_FOR((flags_of("here") & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING));
	tell(&f, ECHO, 0);
	answered(2);
	int answer;
	EQ(read(f.from, &answer, sizeof answer), sizeof answer);
	EQ(answer, 4);
	// A pair goes as a whole, with the namespace of either end.
	closed(&f);
	WAIT_FOR(if_nametoindex("here") == 0);
}

CASE(rtnetlink_moved)
{
	own_network();
	struct far f = far("b");
	EQ(new_pair("a", "b", 0), 0);
	up("a", 1);
	up("b", 7);
	EQ(change("b", IFLA_NET_NS_PID, f.pid), 0);
	EQ(if_nametoindex("b"), 0);
	EQ(tell(&f, EXISTS, 0), 1);
	tell(&f, UP, 2);
	tell(&f, ECHO, 0);
	answered(2);
	int answer;
	EQ(read(f.from, &answer, sizeof answer), sizeof answer);

	EQ(change("lo", IFLA_NET_NS_PID, f.pid), EINVAL);
	EQ(change("a", IFLA_NET_NS_PID, 1 << 22), ESRCH);
	EQ(change("a", IFLA_NET_NS_FD, 77), EBADF);
	EQ(change("a", IFLA_NET_NS_FD, OK(open("/dev/null", O_RDONLY))), EINVAL);
	// To a namespace in which the caller may do nothing.
	EQ(change("a", IFLA_NET_NS_PID, getppid()), EPERM);
	// The name is taken there.
	EQ(new_pair("b", "c", 0), 0);
	EQ(change("b", IFLA_NET_NS_PID, f.pid), EEXIST);
	closed(&f);
}

CASE(rtnetlink_namespace_numbers)
{
	own_network();
	struct far f = far("there");
	struct request r = begin(RTM_GETNSID, 0), a = {0};
	((struct rtgenmsg *)add(&r, NLMSG_ALIGN(sizeof(struct rtgenmsg))))->rtgen_family = AF_UNSPEC;
	word(&r, NETNSA_PID, f.pid);
	EQ(ask(&r, &a), 0);
	EQ(a.h.nlmsg_type, RTM_NEWNSID);
	struct rtattr *id = (void *)((char *)NLMSG_DATA(&a.h) + NLMSG_ALIGN(sizeof(struct rtgenmsg)));
	EQ(id->rta_type, NETNSA_NSID);
	EQ(*(int *)RTA_DATA(id), NETNSA_NSID_NOT_ASSIGNED);

	struct request set = begin(RTM_NEWNSID, 0);
	add(&set, NLMSG_ALIGN(sizeof(struct rtgenmsg)));
	word(&set, NETNSA_PID, f.pid);
	EQ(ask(&set, NULL), EINVAL);
	word(&set, NETNSA_NSID, 5);
	EQ(ask(&set, NULL), 0);
	EQ(ask(&set, NULL), EEXIST);
	EQ(ask(&r, &a), 0);
	EQ(*(int *)RTA_DATA(id), 5);
	closed(&f);
	EQ(ask(&r, NULL), ESRCH);
}

CASE(rtnetlink_bridge)
{
	own_network();
	struct far f = far("b"), g = far("b");
	struct request r = new_link("br0", "bridge");
	EQ(ask(&r, NULL), 0);
	EQ(ask(&r, NULL), EEXIST);
	EQ(new_pair("p0", "b", f.pid), 0);
	EQ(new_pair("p1", "b", g.pid), 0);
	int bridge = if_nametoindex("br0");
	EQ(change("p0", IFLA_MASTER, bridge), 0);
	EQ(change("p1", IFLA_MASTER, bridge), 0);
	EQ(change("p1", IFLA_MASTER, 77), EINVAL);
	EQ(change("p1", IFLA_MASTER, if_nametoindex("lo")), EOPNOTSUPP);
	EQ(change("lo", IFLA_MASTER, bridge), EINVAL);
	EQ(change("p1", IFLA_MASTER, bridge), 0);
	up("br0", 1);
	up("p0", 0);
	up("p1", 0);
	tell(&f, UP, 2);
	tell(&g, UP, 3);
	tell(&f, ECHO, 0);
	answered(2);
	int answer;
	EQ(read(f.from, &answer, sizeof answer), sizeof answer);
	// From port to port.
	tell(&f, ECHO, 0);
	tell(&g, SEND, 2);
	EQ(read(f.from, &answer, sizeof answer), sizeof answer);
	EQ(answer, 3);
	closed(&g); // which has inherited f's pipe
	closed(&f);
	struct request del = begin(RTM_DELLINK, 0);
	((struct ifinfomsg *)add(&del, sizeof(struct ifinfomsg)))->ifi_index = bridge;
	EQ(ask(&del, NULL), 0);
	EQ(ask(&del, NULL), ENODEV);
}

// told reads messages of a group until one of the type is about the device.
static void told(int s, int type, int index)
{
	for (;;) {
		struct request a;
		CHECK(recv(s, &a, sizeof a, 0) > 0);
		// Of interfaces and neighbours the index stands at the same place.
		if (a.h.nlmsg_type == type && ((int *)NLMSG_DATA(&a.h))[1] == index)
			return;
	}
}

CASE(rtnetlink_tells)
{
	own_network();
	struct far f = far("there");
	int s = OK(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE));
	struct sockaddr_nl a = {.nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK | RTMGRP_NEIGH | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE};
	struct timeval t = {.tv_sec = 15};
	OK(bind(s, (void *)&a, sizeof a));
	OK(setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t));
	EQ(new_pair("here", "there", f.pid), 0);
	int index = if_nametoindex("here");
	told(s, RTM_NEWLINK, index);
	up("here", 1);
	told(s, RTM_NEWADDR, index);
	tell(&f, UP, 2);
	tell(&f, ECHO, 0);
	answered(2);
	told(s, RTM_NEWNEIGH, index);
	int answer;
	EQ(read(f.from, &answer, sizeof answer), sizeof answer);
	closed(&f);
	told(s, RTM_DELADDR, index);
	told(s, RTM_DELLINK, index);
}

CASE(rtnetlink_privileges)
{
	OK(unshare(CLONE_NEWUSER));
	EQ(new_pair("here", "there", 0), EPERM);
	struct request r = new_link("br0", "bridge");
	EQ(ask(&r, NULL), EPERM);
	EQ(change("lo", IFLA_MTU, 1500), EPERM);
}

// What ethtool(8) and its like ask a device of their own making, by ioctl(2).
static int ethtool(const char *name, void *value)
{
	int s = OK(socket(AF_INET6, SOCK_DGRAM, 0));
	struct ifreq r = {.ifr_data = value};
	strcpy(r.ifr_name, name);
	int e = ioctl(s, SIOCETHTOOL, &r) < 0 ? errno : 0;
	OK(close(s));
	return e;
}

static int ethtool_flag(const char *name, int command)
{
	struct ethtool_value v = {.cmd = command, .data = 77};
	EQ(ethtool(name, &v), 0);
	EQ(v.cmd, command);
	return v.data;
}

CASE(rtnetlink_pair_ethtool)
{
	own_network();
	EQ(new_pair("here", "there", 0), 0);
	struct ethtool_drvinfo d = {.cmd = ETHTOOL_GDRVINFO};
	EQ(ethtool("here", &d), 0);
	CHECK(!strcmp(d.driver, "veth"));
	CHECK(!strcmp(d.version, "1.0"));
	CHECK(!strcmp(d.fw_version, "") && !strcmp(d.bus_info, ""));
	EQ(d.testinfo_len | d.eedump_len | d.regdump_len | d.n_priv_flags, 0);
	EQ(ethtool_flag("here", ETHTOOL_GLINK), 0);
	up("here", 1);
	up("there", 2);
	WAIT_FOR(ethtool_flag("here", ETHTOOL_GLINK) == 1);
	EQ(ethtool_flag("here", ETHTOOL_GTXCSUM), 1);
	EQ(ethtool_flag("here", ETHTOOL_GSG), 1);
	EQ(ethtool_flag("here", ETHTOOL_GTSO), 1);
	EQ(ethtool_flag("here", ETHTOOL_GGSO), 1);
	EQ(ethtool_flag("here", ETHTOOL_GGRO), 0);
	struct ethtool_value on = {.cmd = ETHTOOL_STSO, .data = 1};
	EQ(ethtool("here", &on), 0); // as it is

	// The name of each statistic, of which Linux has more, and its value: the peer's index.
	struct { struct ethtool_sset_info h; uint32_t n; } sets = {.h = {.cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1 << ETH_SS_STATS | 1 << ETH_SS_TEST}};
	EQ(ethtool("here", &sets), 0);
	EQ(sets.h.sset_mask, 1 << ETH_SS_STATS);
	EQ(sets.n, d.n_stats);
	struct ethtool_gstrings *names = calloc(1, sizeof *names + d.n_stats * ETH_GSTRING_LEN);
	struct ethtool_stats *stats = calloc(1, sizeof *stats + d.n_stats * 8);
	*names = (struct ethtool_gstrings){.cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_STATS, .len = d.n_stats};
	*stats = (struct ethtool_stats){.cmd = ETHTOOL_GSTATS, .n_stats = d.n_stats};
	EQ(ethtool("here", names), 0);
	EQ(ethtool("here", stats), 0);
	EQ(names->len, d.n_stats);
	EQ(stats->n_stats, d.n_stats);
	CHECK(!strcmp((char *)names->data, "peer_ifindex"));
	EQ(stats->data[0], if_nametoindex("there"));

	// Speed and mode, in the old form and in the one that begins with a question about its size.
	struct ethtool_cmd c = {.cmd = ETHTOOL_GSET};
	EQ(ethtool("here", &c), 0);
	EQ(ethtool_cmd_speed(&c), 10000);
	EQ(c.duplex, DUPLEX_FULL);
	struct { struct ethtool_link_settings h; uint32_t modes[3 * 127]; } l = {.h.cmd = ETHTOOL_GLINKSETTINGS};
	EQ(ethtool("here", &l), 0);
	CHECK(l.h.link_mode_masks_nwords < 0);
	EQ(l.h.speed, 0);
	l.h.link_mode_masks_nwords = -l.h.link_mode_masks_nwords;
	EQ(ethtool("here", &l), 0);
	CHECK(l.h.link_mode_masks_nwords > 0);
	EQ(l.h.speed, 10000);
	EQ(l.h.duplex, DUPLEX_FULL);
	EQ(l.h.port, PORT_TP);

	struct { struct ethtool_perm_addr h; uint8_t data[32]; } a = {.h = {.cmd = ETHTOOL_GPERMADDR, .size = 32}}, none = {0};
	EQ(ethtool("here", &a), 0);
	EQ(a.h.size, 6);
	EQ(memcmp(a.data, none.data, sizeof none.data), 0);
	a.h.size = 5;
	EQ(ethtool("here", &a), 525); // ETOOSMALL

	struct ethtool_channels q = {.cmd = ETHTOOL_GCHANNELS};
	EQ(ethtool("here", &q), 0);
	EQ(q.rx_count, 1);
	EQ(q.tx_count, 1);
	EQ(q.combined_count | q.max_combined | q.other_count, 0);

	struct ethtool_ringparam ring = {.cmd = ETHTOOL_GRINGPARAM};
	EQ(ethtool("here", &ring), EOPNOTSUPP);
	EQ(ethtool("lo", &d), EOPNOTSUPP);
	EQ(ethtool("lo", &c), EOPNOTSUPP);
	EQ(ethtool("lo", &q), EOPNOTSUPP);
	EQ(ethtool("nosuch", &d), ENODEV);
	EQ(ethtool("here", BAD_PTR), EFAULT);
}

// Requests about addresses are for sockets of AF_INET, all others for any.
CASE(rtnetlink_ioctl_families)
{
	int families[] = {AF_INET6, AF_UNIX, AF_NETLINK};
	int addresses[] = {SIOCGIFADDR, SIOCGIFNETMASK, SIOCGIFBRDADDR, SIOCGIFDSTADDR};
	own_network();
	up("lo", 0);
	for (int k = 0; k < 3; k++) {
		int s = OK(socket(families[k], families[k] == AF_NETLINK ? SOCK_RAW : SOCK_DGRAM, 0));
		struct ifreq r = {.ifr_name = "lo"};
		for (int n = 0; n < 4; n++)
			ERR(ioctl(s, addresses[n], &r), ENOTTY);
		OK(ioctl(s, SIOCGIFMTU, &r));
		EQ(r.ifr_mtu, 65536);
		ERR(ioctl(s, SIOCGIFSLAVE, &r), EINVAL);
		ERR(ioctl(s, SIOCGMIIPHY, &r), EOPNOTSUPP);
		ERR(ioctl(s, SIOCGHWTSTAMP, &r), EOPNOTSUPP);
	}
}

// datagram is a UDP socket that is bound to a port, of device dev if there is one; the address of the
// port is *a.
static int datagram(const char *dev, struct sockaddr_in *a)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;
	socklen_t n = sizeof *a;
	*a = (struct sockaddr_in){.sin_family = AF_INET};
	OK(bind(s, (void *)a, sizeof *a));
	OK(getsockname(s, (void *)a, &n));
	if (dev)
		OK(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, dev, strlen(dev)));
	OK(setsockopt(s, IPPROTO_IP, IP_PKTINFO, &one, sizeof one));
	return s;
}

// came_by receives a byte and returns the interface by which it came, 0 if there is none.
static int came_by(int s)
{
	char b, control[CMSG_SPACE(sizeof(struct in_pktinfo))];
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	if (recvmsg(s, &m, MSG_DONTWAIT) < 0) {
		EQ(errno, EAGAIN);
		return 0;
	}
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c);
	EQ(c->cmsg_type, IP_PKTINFO);
	return ((struct in_pktinfo *)CMSG_DATA(c))->ipi_ifindex;
}

// What a host sends to an address of its own comes by the interface that has the address.
CASE(rtnetlink_own_address)
{
	own_network();
	EQ(new_pair("here", "there", 0), 0);
	up("lo", 0);
	up("here", 1);
	up("there", 0);
	const char *devices[] = {NULL, "here", "there", "lo"};
	for (int i = 0; i < 4; i++) {
		struct sockaddr_in a;
		int r = datagram(devices[i], &a), s = OK(socket(AF_INET, SOCK_DGRAM, 0));
		inet_pton(AF_INET, "10.0.0.1", &a.sin_addr);
		EQ(sendto(s, "x", 1, 0, (void *)&a, sizeof a), 1);
		EQ(came_by(r), i < 2 ? if_nametoindex("here") : 0);
		OK(close(r));
		OK(close(s));
	}
}

// What a host sends to a group that it is in, or to all, comes back to it.
CASE(rtnetlink_own_group)
{
	own_network();
	EQ(new_pair("here", "there", 0), 0);
	up("here", 1);
	up("there", 0);
	struct sockaddr_in a;
	int r = datagram(NULL, &a), s = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1, zero = 0;
	struct ip_mreqn group = {.imr_ifindex = if_nametoindex("here")};
	inet_pton(AF_INET, "224.1.2.3", &group.imr_multiaddr);
	a.sin_addr = group.imr_multiaddr;
	OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof group));
	EQ(sendto(s, "x", 1, 0, (void *)&a, sizeof a), 1);
	EQ(came_by(r), 0);
	OK(setsockopt(r, IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof group));
	EQ(sendto(s, "x", 1, 0, (void *)&a, sizeof a), 1);
	EQ(came_by(r), group.imr_ifindex);
	OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_LOOP, &zero, sizeof zero));
	EQ(sendto(s, "x", 1, 0, (void *)&a, sizeof a), 1);
	EQ(came_by(r), 0);
	OK(setsockopt(s, SOL_SOCKET, SO_BROADCAST, &one, sizeof one));
	inet_pton(AF_INET, "10.255.255.255", &a.sin_addr);
	EQ(sendto(s, "x", 1, 0, (void *)&a, sizeof a), 1);
	EQ(came_by(r), group.imr_ifindex);
}
