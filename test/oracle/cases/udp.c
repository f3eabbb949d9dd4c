// udp(7) over loopback.
#include "inet.h"

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
