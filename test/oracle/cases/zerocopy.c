// zerocopy.c: sends with MSG_ZEROCOPY and what the error queue tells of them.
#include "inet.h"
#include <linux/errqueue.h>
#include <linux/in6.h>

static void enable(int s)
{
	int on = 1;
	OK(setsockopt(s, SOL_SOCKET, SO_ZEROCOPY, &on, sizeof on));
	EQ(opt(s, SOL_SOCKET, SO_ZEROCOPY), 1);
}

// told takes one notification of the calls lo to hi, all of which the kernel has copied.
static void told(int s, int level, int type, unsigned *lo, unsigned *hi)
{
	char control[200], name[128], data[10];
	struct iovec v = {data, sizeof data};
	struct msghdr m = {.msg_name = name, .msg_namelen = sizeof name, .msg_iov = &v, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct pollfd p = {s, 0, 0};
	EQ(poll(&p, 1, 10000), 1);
	EQ(p.revents, POLLERR);
	EQ(recvmsg(s, &m, MSG_ERRQUEUE), 0);
	EQ(m.msg_flags, MSG_ERRQUEUE);
	EQ(m.msg_namelen, 0);
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	CHECK(c);
	EQ(c->cmsg_level, level);
	EQ(c->cmsg_type, type);
	EQ(c->cmsg_len, CMSG_LEN(sizeof(struct sock_extended_err) + (level == SOL_IP ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6))));
	CHECK(!CMSG_NXTHDR(&m, c));
	struct sock_extended_err e;
	memcpy(&e, CMSG_DATA(c), sizeof e);
	EQ(e.ee_errno, 0);
	EQ(e.ee_origin, SO_EE_ORIGIN_ZEROCOPY);
	EQ(e.ee_type, 0);
	EQ(e.ee_code, SO_EE_CODE_ZEROCOPY_COPIED);
	*lo = e.ee_info;
	*hi = e.ee_data;
}

// all takes the notifications of the calls from first to last, which may come together.
static void all(int s, int level, int type, unsigned first, unsigned last)
{
	unsigned lo, hi;
	do {
		told(s, level, type, &lo, &hi);
		EQ(lo, first);
		CHECK(hi <= last);
		first = hi + 1;
	} while (hi < last);
	EQ(opt(s, SOL_SOCKET, SO_ERROR), 0);
	struct pollfd p = {s, 0, 0};
	EQ(poll(&p, 1, 0), 0);
	char b;
	ERR(recv(s, &b, 1, MSG_ERRQUEUE), EAGAIN);
}

static void read_all(int s, size_t n)
{
	static char data[1 << 16];
	while (n > 0) {
		ssize_t k = OK(read(s, data, sizeof data < n ? sizeof data : n));
		CHECK(k > 0);
		n -= k;
	}
}

CASE(zerocopy_option)
{
	int s[2], v = 2;
	pair(s);
	EQ(opt(s[0], SOL_SOCKET, SO_ZEROCOPY), 0);
	ERR(setsockopt(s[0], SOL_SOCKET, SO_ZEROCOPY, &v, sizeof v), EINVAL);
	v = -1;
	ERR(setsockopt(s[0], SOL_SOCKET, SO_ZEROCOPY, &v, sizeof v), EINVAL);
	enable(s[0]);
	int u = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	v = 1;
	ERR(setsockopt(u, SOL_SOCKET, SO_ZEROCOPY, &v, sizeof v), EOPNOTSUPP);
	v = 2;
	ERR(setsockopt(u, SOL_SOCKET, SO_ZEROCOPY, &v, sizeof v), EOPNOTSUPP);
	EQ(opt(u, SOL_SOCKET, SO_ZEROCOPY), 0);
}

CASE(zerocopy_inherited)
{
	int port, l = listener(&port);
	struct sockaddr_in a = addr(port);
	enable(l);
	int c = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(connect(c, (void *)&a, sizeof a));
	EQ(opt(OK(accept(l, NULL, NULL)), SOL_SOCKET, SO_ZEROCOPY), 1);
}

CASE(zerocopy_ignored_without_option)
{
	int s[2];
	char b[100] = "";
	pair(s);
	EQ(send(s[0], b, sizeof b, MSG_ZEROCOPY), sizeof b);
	read_all(s[1], sizeof b);
	struct pollfd p = {s[0], 0, 0};
	EQ(poll(&p, 1, 0), 0);
	ERR(recv(s[0], b, 1, MSG_ERRQUEUE), EAGAIN);
	enable(s[0]);
	EQ(send(s[0], b, sizeof b, 0), sizeof b);
	read_all(s[1], sizeof b);
	EQ(poll(&p, 1, 0), 0);
}

CASE(zerocopy_tcp)
{
	int s[2];
	char b[1000] = "";
	pair(s);
	enable(s[0]);
	for (int i = 0; i < 3; i++)
		EQ(send(s[0], b, sizeof b, MSG_ZEROCOPY), sizeof b);
	EQ(send(s[0], b, 0, MSG_ZEROCOPY), 0); // has no number
	EQ(send(s[0], b, sizeof b, 0), sizeof b);
	EQ(send(s[0], b, sizeof b, MSG_ZEROCOPY), sizeof b);
	read_all(s[1], 5 * sizeof b);
	all(s[0], SOL_IP, IP_RECVERR, 0, 3);
	EQ(send(s[0], b, sizeof b, MSG_ZEROCOPY), sizeof b);
	read_all(s[1], sizeof b);
	all(s[0], SOL_IP, IP_RECVERR, 4, 4);
}

CASE(zerocopy_tcp6)
{
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
	socklen_t n = sizeof a;
	char b[1000] = "";
	int l = OK(socket(AF_INET6, SOCK_STREAM, 0));
	if (bind(l, (void *)&a, sizeof a) < 0)
		SKIP("no IPv6");
	OK(listen(l, 1));
	OK(getsockname(l, (void *)&a, &n));
	int c = OK(socket(AF_INET6, SOCK_STREAM, 0));
	OK(connect(c, (void *)&a, sizeof a));
	int s = OK(accept(l, NULL, NULL));
	enable(c);
	EQ(send(c, b, sizeof b, MSG_ZEROCOPY), sizeof b);
	read_all(s, sizeof b);
	all(c, SOL_IPV6, IPV6_RECVERR, 0, 0);
}

// A call that waits for room has one number.
static void *reader(void *arg)
{
	read_all(*(int *)arg, 1 << 20);
	return NULL;
}

CASE(zerocopy_tcp_large)
{
	int s[2], small = 20000;
	pthread_t t;
	char *b = calloc(1, 1 << 20);
	pair(s);
	OK(setsockopt(s[0], SOL_SOCKET, SO_SNDBUF, &small, sizeof small));
	enable(s[0]);
	EQ(pthread_create(&t, NULL, reader, &s[1]), 0);
	for (size_t n = 0; n < 1 << 20;)
		n += OK(send(s[0], b + n, (1 << 20) - n, MSG_ZEROCOPY));
	EQ(pthread_join(t, NULL), 0);
	all(s[0], SOL_IP, IP_RECVERR, 0, 0);
}

CASE(zerocopy_udp)
{
	struct sockaddr_in a = addr(0);
	char b[1000] = "", *large = calloc(1, 70000);
	int r = OK(socket(AF_INET, SOCK_DGRAM, 0)), c = OK(socket(AF_INET, SOCK_DGRAM, 0));
	OK(bind(r, (void *)&a, sizeof a));
	a = addr(port_of(r));
	OK(connect(c, (void *)&a, sizeof a));
	enable(c);
	EQ(send(c, b, sizeof b, MSG_ZEROCOPY), sizeof b);
	ERR(send(c, large, 70000, MSG_ZEROCOPY), EMSGSIZE); // has no number
	EQ(send(c, b, sizeof b, MSG_ZEROCOPY), sizeof b);
	EQ(send(c, b, 0, MSG_ZEROCOPY), 0); // has one: a datagram is never nothing
	for (int i = 0; i < 3; i++)
		OK(recv(r, b, sizeof b, 0));
	all(c, SOL_IP, IP_RECVERR, 0, 2);
	struct iovec v = {b, sizeof b};
	struct mmsghdr m[2] = {{.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}}, {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}}};
	EQ(sendmmsg(c, m, 2, MSG_ZEROCOPY), 2);
	for (int i = 0; i < 2; i++)
		OK(recv(r, b, sizeof b, 0));
	all(c, SOL_IP, IP_RECVERR, 3, 4);
}
