// udp(7) over loopback.
#include "inet.h"
#include <linux/filter.h>
#include <net/if.h>

CASE(udp_send_receive)
{
	int a = OK(socket(AF_INET, SOCK_DGRAM, 0)), b = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in x = addr(0), from;
	socklen_t n = sizeof from;
	char buf[16];
	OK(bind(a, (void *)&x, sizeof x));
	x = addr(port_of(a));
	EQ(sendto(b, "hello", 5, 0, (void *)&x, sizeof x), 5);
	EQ(recvfrom(a, buf, 16, 0, (void *)&from, &n), 5);
	EQ(ntohs(from.sin_port), port_of(b)); // bound by sending
	EQ(sendto(b, "", 0, 0, (void *)&x, sizeof x), 0);
	EQ(recv(a, buf, 16, 0), 0);
	EQ(sendto(b, "truncated", 9, 0, (void *)&x, sizeof x), 9);
	EQ(recv(a, buf, 4, MSG_TRUNC), 9);
	ERR(recv(a, buf, 4, MSG_DONTWAIT), EAGAIN);
	ERR(send(b, "x", 1, 0), EDESTADDRREQ);
}

CASE(udp_connected)
{
	int a = OK(socket(AF_INET, SOCK_DGRAM, 0)), b = OK(socket(AF_INET, SOCK_DGRAM, 0)), c = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in x = addr(0), p;
	socklen_t n = sizeof p;
	char buf[16];
	OK(bind(a, (void *)&x, sizeof x));
	OK(bind(b, (void *)&x, sizeof x));
	x = addr(port_of(a));
	OK(connect(b, (void *)&x, sizeof x));
	OK(getpeername(b, (void *)&p, &n));
	EQ(p.sin_port, x.sin_port);
	EQ(send(b, "x", 1, 0), 1);
	EQ(recv(a, buf, 16, 0), 1);
	x = addr(port_of(b));
	EQ(sendto(c, "stranger", 8, 0, (void *)&x, sizeof x), 8);
	EQ(sendto(a, "friend", 6, 0, (void *)&x, sizeof x), 6);
	EQ(recv(b, buf, 16, 0), 6); // others are filtered
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	OK(connect(b, &un, sizeof un));
	ERR(getpeername(b, (void *)&p, &n), ENOTCONN);
}

CASE(udp_port_unreachable)
{
	int a = OK(socket(AF_INET, SOCK_DGRAM, 0)), b = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in x = addr(0);
	char buf[4];
	OK(bind(a, (void *)&x, sizeof x));
	x = addr(port_of(a));
	OK(close(a));
	OK(connect(b, (void *)&x, sizeof x));
	EQ(send(b, "x", 1, 0), 1);
	ERR(recv(b, buf, 4, 0), ECONNREFUSED);
}

CASE(udp_message_sizes)
{
	int a = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in x = addr(0);
	char *big = calloc(1, 70000);
	OK(bind(a, (void *)&x, sizeof x));
	x = addr(port_of(a));
	ERR(sendto(a, big, 65508, 0, (void *)&x, sizeof x), EMSGSIZE);
	EQ(sendto(a, big, 65507, 0, (void *)&x, sizeof x), 65507);
	EQ(recv(a, big, 70000, 0), 65507);
}

CASE(udp_options)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1, v;
	EQ(opt(s, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
	EQ(opt(s, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
	OK(setsockopt(s, SOL_SOCKET, SO_BROADCAST, &one, sizeof one));
	EQ(opt(s, SOL_SOCKET, SO_BROADCAST), 1);
	EQ(opt(s, IPPROTO_IP, IP_TTL), 64);
	v = 5;
	OK(setsockopt(s, IPPROTO_IP, IP_TTL, &v, sizeof v));
	EQ(opt(s, IPPROTO_IP, IP_TTL), 5);
	v = 0;
	ERR(setsockopt(s, IPPROTO_IP, IP_TTL, &v, sizeof v), EINVAL);
	v = 0x10;
	OK(setsockopt(s, IPPROTO_IP, IP_TOS, &v, sizeof v));
	EQ(opt(s, IPPROTO_IP, IP_TOS), 0x10);
	ERR(listen(s, 1), EOPNOTSUPP);
	ERR(accept(s, NULL, NULL), EOPNOTSUPP);
}

CASE(udp_recvmsg_pktinfo)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;
	struct sockaddr_in x = addr(0);
	OK(bind(s, (void *)&x, sizeof x));
	OK(setsockopt(s, IPPROTO_IP, IP_PKTINFO, &one, sizeof one));
	x = addr(port_of(s));
	EQ(sendto(s, "x", 1, 0, (void *)&x, sizeof x), 1);
	char b[4], ctl[256];
	struct iovec v = {b, 4};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = ctl, .msg_controllen = sizeof ctl};
	EQ(recvmsg(s, &m, 0), 1);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c);
	EQ(c->cmsg_level, IPPROTO_IP);
	EQ(c->cmsg_type, IP_PKTINFO);
	struct in_pktinfo pi;
	memcpy(&pi, CMSG_DATA(c), sizeof pi);
	EQ(ntohl(pi.ipi_addr.s_addr), INADDR_LOOPBACK);
	EQ(pi.ipi_ifindex, 1);
}

CASE(udp_filter)
{
	int r = OK(socket(AF_INET, SOCK_DGRAM, 0)), s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in a = addr(0);
	char b[64];
	OK(bind(r, (void *)&a, sizeof a));
	a = addr(port_of(r));
	// Offsets count from the UDP header: byte 8 is the first of the data. 'x' is kept, of 'y' five bytes.
	struct sock_filter code[] = {
		{0x30, 0, 0, 8}, {0x15, 2, 0, 'x'}, {0x15, 2, 0, 'y'}, {0x6, 0, 0, 0}, {0x6, 0, 0, 0xffff}, {0x6, 0, 0, 13},
	};
	struct sock_fprog prog = {sizeof code / sizeof *code, code};
	ERR(setsockopt(r, SOL_SOCKET, SO_DETACH_FILTER, &prog, sizeof prog), ENOENT);
	OK(setsockopt(r, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog));
	EQ(OK(sendto(s, "a......", 7, 0, (void *)&a, sizeof a)), 7);
	EQ(OK(sendto(s, "x......", 7, 0, (void *)&a, sizeof a)), 7);
	EQ(OK(sendto(s, "y......", 7, 0, (void *)&a, sizeof a)), 7);
	EQ(OK(recv(r, b, sizeof b, 0)), 7);
	EQ(b[0], 'x');
	EQ(OK(recv(r, b, sizeof b, MSG_TRUNC)), 5);
	EQ(b[0], 'y');
	ERR(recv(r, b, sizeof b, MSG_DONTWAIT), EAGAIN);
	int one = 1, zero = 0;
	EQ(opt(r, SOL_SOCKET, SO_LOCK_FILTER), 0);
	OK(setsockopt(r, SOL_SOCKET, SO_LOCK_FILTER, &one, sizeof one));
	EQ(opt(r, SOL_SOCKET, SO_LOCK_FILTER), 1);
	ERR(setsockopt(r, SOL_SOCKET, SO_LOCK_FILTER, &zero, sizeof zero), EPERM);
	ERR(setsockopt(r, SOL_SOCKET, SO_DETACH_FILTER, &prog, sizeof prog), EPERM);
	ERR(setsockopt(r, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog), EPERM);
	code[1].jt = 200;
	ERR(setsockopt(s, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof prog), EINVAL);
}

CASE(udp_timestamping)
{
	int r = OK(socket(AF_INET, SOCK_DGRAM, 0)), s = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;
	struct sockaddr_in a = addr(0);
	OK(bind(r, (void *)&a, sizeof a));
	a = addr(port_of(r));
	int names[] = {SO_TIMESTAMP_NEW, SO_TIMESTAMPNS_NEW, SO_TIMESTAMP_OLD, SO_TIMESTAMPNS_OLD};
	for (int k = 0; k < 4; k++) {
		OK(setsockopt(r, SOL_SOCKET, names[k], &one, sizeof one));
		for (int j = 0; j < 4; j++)
			EQ(opt(r, SOL_SOCKET, names[j]), j == k || (k == 1 && j == 0));
		struct timespec before, after;
		clock_gettime(CLOCK_REALTIME, &before);
		EQ(OK(sendto(s, "x", 1, 0, (void *)&a, sizeof a)), 1);
		char b[8], control[256];
		struct iovec v = {b, sizeof b};
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		EQ(OK(recvmsg(r, &m, 0)), 1);
		clock_gettime(CLOCK_REALTIME, &after);
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		CHECK(c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == names[k] && c->cmsg_len == CMSG_LEN(16));
		long long *t = (void *)CMSG_DATA(c);
		long long ns = t[0] * 1000000000 + t[1] * (k % 2 ? 1 : 1000);
		// A kernel's clock may stamp a little before the tick that a program has read.
		CHECK(ns >= (before.tv_sec * 1000000000ll + before.tv_nsec) - 20000000 && ns <= after.tv_sec * 1000000000ll + after.tv_nsec);
		CHECK(!CMSG_NXTHDR(&m, c));
	}
	int zero = 0, flags = 0x18; // SOF_TIMESTAMPING_RX_SOFTWARE, SOF_TIMESTAMPING_SOFTWARE
	OK(setsockopt(r, SOL_SOCKET, SO_TIMESTAMPNS_OLD, &zero, sizeof zero));
	ERR(setsockopt(r, SOL_SOCKET, SO_TIMESTAMPING, &(int){1 << 30}, sizeof flags), EINVAL);
	OK(setsockopt(r, SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags));
	EQ(opt(r, SOL_SOCKET, SO_TIMESTAMPING), flags);
	char b[8], control[256];
	struct iovec v = {b, sizeof b};
	struct cmsghdr *c = NULL;
	// Linux begins to stamp packets some time after it has been asked to.
	for (int i = 0; i < 2000 && !c; i++) {
		if (i) usleep(1000);
		struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
		EQ(OK(sendto(s, "x", 1, 0, (void *)&a, sizeof a)), 1);
		EQ(OK(recvmsg(r, &m, 0)), 1);
		c = CMSG_FIRSTHDR(&m);
	}
	CHECK(c && c->cmsg_type == SO_TIMESTAMPING && c->cmsg_len == CMSG_LEN(48));
	long long *t = (void *)CMSG_DATA(c);
	CHECK(t[0] > 0 && t[2] == 0 && t[3] == 0 && t[4] == 0 && t[5] == 0);
}

// group_of is a struct sockaddr_storage of an IPv4 address.
static void group_of(struct sockaddr_storage *s, const char *text)
{
	struct sockaddr_in *a = (void *)s;
	memset(s, 0, sizeof *s);
	a->sin_family = AF_INET;
	CHECK(inet_pton(AF_INET, text, &a->sin_addr) == 1);
}

CASE(udp_multicast_sources)
{
	int r = OK(socket(AF_INET, SOCK_DGRAM, 0)), s = OK(socket(AF_INET, SOCK_DGRAM, 0)), zero = 0;
	struct sockaddr_in a = {.sin_family = AF_INET}, to;
	struct ip_mreqn lo = {.imr_ifindex = 1};
	char b[8];
	OK(bind(r, (void *)&a, sizeof a));
	OK(setsockopt(r, IPPROTO_IP, IP_MULTICAST_ALL, &zero, sizeof zero));
	OK(setsockopt(s, IPPROTO_IP, IP_MULTICAST_IF, &lo, sizeof lo));
	a = addr(0);
	OK(bind(s, (void *)&a, sizeof a));
	to = addr(port_of(r));
	CHECK(inet_pton(AF_INET, "239.1.2.3", &to.sin_addr) == 1);

	struct group_req g = {.gr_interface = 1};
	group_of(&g.gr_group, "239.1.2.3");
	struct group_source_req gs = {.gsr_interface = 1};
	group_of(&gs.gsr_group, "239.1.2.3");
	group_of(&gs.gsr_source, "127.0.0.1");
	ERR(setsockopt(r, IPPROTO_IP, MCAST_LEAVE_GROUP, &g, sizeof g), EADDRNOTAVAIL);
	ERR(setsockopt(r, IPPROTO_IP, MCAST_JOIN_GROUP, &g, sizeof g - 1), EINVAL);
	OK(setsockopt(r, IPPROTO_IP, MCAST_JOIN_GROUP, &g, sizeof g));
	ERR(setsockopt(r, IPPROTO_IP, MCAST_JOIN_GROUP, &g, sizeof g), EADDRINUSE);
	EQ(OK(sendto(s, "1", 1, 0, (void *)&to, sizeof to)), 1);
	EQ(OK(recv(r, b, sizeof b, 0)), 1);
	// One source blocked, and let through again.
	OK(setsockopt(r, IPPROTO_IP, MCAST_BLOCK_SOURCE, &gs, sizeof gs));
	ERR(setsockopt(r, IPPROTO_IP, MCAST_BLOCK_SOURCE, &gs, sizeof gs), EADDRNOTAVAIL);
	EQ(OK(sendto(s, "2", 1, 0, (void *)&to, sizeof to)), 1);
	ERR(recv(r, b, sizeof b, MSG_DONTWAIT), EAGAIN);
	ERR(setsockopt(r, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &gs, sizeof gs), EINVAL);
	OK(setsockopt(r, IPPROTO_IP, MCAST_UNBLOCK_SOURCE, &gs, sizeof gs));
	ERR(setsockopt(r, IPPROTO_IP, MCAST_UNBLOCK_SOURCE, &gs, sizeof gs), EADDRNOTAVAIL);
	EQ(OK(sendto(s, "3", 1, 0, (void *)&to, sizeof to)), 1);
	EQ(OK(recv(r, b, sizeof b, 0)), 1);
	OK(setsockopt(r, IPPROTO_IP, MCAST_LEAVE_GROUP, &g, sizeof g));
	EQ(OK(sendto(s, "4", 1, 0, (void *)&to, sizeof to)), 1);
	ERR(recv(r, b, sizeof b, MSG_DONTWAIT), EAGAIN);
	// Some sources only.
	struct ip_mreq_source ms = {.imr_multiaddr = to.sin_addr, .imr_interface.s_addr = htonl(INADDR_LOOPBACK), .imr_sourceaddr.s_addr = htonl(0x7f000002)};
	OK(setsockopt(r, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &ms, sizeof ms));
	ERR(setsockopt(r, IPPROTO_IP, IP_ADD_SOURCE_MEMBERSHIP, &ms, sizeof ms), EADDRNOTAVAIL);
	ERR(setsockopt(r, IPPROTO_IP, IP_BLOCK_SOURCE, &ms, sizeof ms), EINVAL);
	EQ(OK(sendto(s, "5", 1, 0, (void *)&to, sizeof to)), 1);
	ERR(recv(r, b, sizeof b, MSG_DONTWAIT), EAGAIN);
	OK(setsockopt(r, IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &gs, sizeof gs));
	EQ(OK(sendto(s, "6", 1, 0, (void *)&to, sizeof to)), 1);
	EQ(OK(recv(r, b, sizeof b, 0)), 1);
	EQ(b[0], '6');
	OK(setsockopt(r, IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, &gs, sizeof gs));
	ERR(setsockopt(r, IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, &gs, sizeof gs), EADDRNOTAVAIL);
	OK(setsockopt(r, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &ms, sizeof ms));
	ERR(setsockopt(r, IPPROTO_IP, IP_DROP_SOURCE_MEMBERSHIP, &ms, sizeof ms), EINVAL);
}

CASE(udp_bound_to_a_group)
{
	// What it sends comes from an address of the host's.
	int g = OK(socket(AF_INET, SOCK_DGRAM, 0)), r = OK(socket(AF_INET, SOCK_DGRAM, 0));
	struct sockaddr_in a = {.sin_family = AF_INET}, from;
	socklen_t n = sizeof from;
	char b[8];
	CHECK(inet_pton(AF_INET, "239.1.2.3", &a.sin_addr) == 1);
	OK(bind(g, (void *)&a, sizeof a));
	a = addr(0);
	OK(bind(r, (void *)&a, sizeof a));
	a = addr(port_of(r));
	OK(connect(g, (void *)&a, sizeof a));
	EQ(OK(send(g, "x", 1, 0)), 1);
	EQ(OK(recvfrom(r, b, sizeof b, 0, (void *)&from, &n)), 1);
	EQ(ntohl(from.sin_addr.s_addr), INADDR_LOOPBACK);
}

// What bind(2) has chosen itself, a port, goes with the connection; what it was given stays.
CASE(udp_disconnect_port)
{
	struct sockaddr unspec = {AF_UNSPEC};
	for (int given = 0; given < 2; given++) {
		int s = OK(socket(AF_INET, SOCK_DGRAM, 0));
		struct sockaddr_in x = addr(0), to = addr(9), now;
		socklen_t n = sizeof now;
		OK(bind(s, (void *)&x, sizeof x));
		int port = port_of(s);
		if (given) {
			OK(close(s));
			s = OK(socket(AF_INET, SOCK_DGRAM, 0));
			x = addr(port);
			OK(bind(s, (void *)&x, sizeof x));
		}
		OK(connect(s, (void *)&to, sizeof to));
		EQ(port_of(s), port);
		OK(connect(s, &unspec, sizeof unspec));
		OK(getsockname(s, (void *)&now, &n));
		EQ(now.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
		EQ(ntohs(now.sin_port), given ? port : 0);
		if (given)
			ERR(bind(s, (void *)&x, sizeof x), EINVAL);
		else
			OK(bind(s, (void *)&x, sizeof x));
		OK(close(s));
	}
}

CASE(udp_bind_address_no_port)
{
	int s = OK(socket(AF_INET, SOCK_DGRAM, 0)), to = OK(socket(AF_INET, SOCK_DGRAM, 0)), one = 1;
	struct sockaddr_in x = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)}, peer = addr(0), from;
	socklen_t n = sizeof from;
	char b;
	OK(bind(to, (void *)&peer, sizeof peer));
	peer = addr(port_of(to));
	OK(setsockopt(s, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one));
	OK(bind(s, (void *)&x, sizeof x));
	EQ(port_of(s), 0);
	OK(bind(s, (void *)&x, sizeof x)); // it has no port yet
	OK(connect(s, (void *)&peer, sizeof peer));
	CHECK(port_of(s) != 0);
	ERR(bind(s, (void *)&x, sizeof x), EINVAL);
	EQ(send(s, "x", 1, 0), 1);
	EQ(recvfrom(to, &b, 1, 0, (void *)&from, &n), 1);
	EQ(from.sin_addr.s_addr, x.sin_addr.s_addr);
	EQ(ntohs(from.sin_port), port_of(s));
	OK(connect(s, (void *)&(struct sockaddr){AF_UNSPEC}, sizeof(struct sockaddr)));
	EQ(port_of(s), 0);
	EQ(sendto(s, "x", 1, 0, (void *)&peer, sizeof peer), 1);
	CHECK(port_of(s) != 0);
	EQ(recvfrom(to, &b, 1, 0, (void *)&from, &n), 1);
	EQ(from.sin_addr.s_addr, x.sin_addr.s_addr);
}

// IPV6_PKTINFO for all datagrams.
CASE(udp_ipv6_pktinfo_option)
{
	int s = OK(socket(AF_INET6, SOCK_DGRAM, 0)), r = OK(socket(AF_INET6, SOCK_DGRAM, 0));
	struct in6_pktinfo info = {IN6ADDR_ANY_INIT, if_nametoindex("lo")};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t n = sizeof info;
	char b[8];
	ERR(setsockopt(s, IPPROTO_IPV6, IPV6_PKTINFO, &info, 0), EINVAL);
	ERR(setsockopt(s, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info - 1), EINVAL);
	OK(setsockopt(s, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info));
	ERR(getsockopt(s, IPPROTO_IPV6, IPV6_PKTINFO, &info, &n), ENOPROTOOPT);
	OK(bind(r, (void *)&to, sizeof to));
	n = sizeof to;
	OK(getsockname(r, (void *)&to, &n));
	EQ(sendto(s, "x", 1, 0, (void *)&to, sizeof to), 1);
	EQ(recv(r, b, sizeof b, MSG_DONTWAIT), 1);
	// A socket that is bound to a device cannot have another one.
	OK(setsockopt(s, SOL_SOCKET, SO_BINDTODEVICE, "lo", 3));
	OK(setsockopt(s, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info));
	info.ipi6_ifindex = 0;
	ERR(setsockopt(s, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info), EINVAL);
	s = OK(socket(AF_INET, SOCK_DGRAM, 0));
	ERR(setsockopt(s, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info), ENOPROTOOPT);
}
