// raw.c: raw sockets (raw(7), ipv6(7)).
#include "oracle.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/ip6.h>

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

static int opt6(int s, int name)
{
	int v = -1;
	socklen_t n = sizeof v;
	OK(getsockopt(s, IPPROTO_IPV6, name, &v, &n));
	return v;
}

// own_header sends a packet with a header of its own and looks at what comes.
static void own_header(int s)
{
	struct {
		struct ip6_hdr h;
		char data[4];
	} p = {.h = {.ip6_flow = htonl(6 << 28), .ip6_plen = htons(4), .ip6_nxt = 253, .ip6_hlim = 7, .ip6_src = in6addr_loopback, .ip6_dst = in6addr_loopback}, .data = "data"};
	struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	int r = OK(socket(AF_INET6, SOCK_RAW, 253)), on = 1;
	OK(setsockopt(r, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on));
	EQ(OK(sendto(s, &p, sizeof p, 0, (void *)&to, sizeof to)), sizeof p);
	char b[20], c[100];
	struct iovec v = {b, sizeof b};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c, .msg_controllen = sizeof c};
	EQ(OK(recvmsg(r, &m, 0)), 4);
	EQ(memcmp(b, "data", 4), 0);
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	CHECK(h && h->cmsg_level == IPPROTO_IPV6 && h->cmsg_type == IPV6_HOPLIMIT);
	EQ(*(int *)CMSG_DATA(h), 7);
	ERR(sendto(s, &p, sizeof p.h - 1, 0, (void *)&to, sizeof to), EINVAL);
	OK(close(r));
}

CASE(raw_own_header_of_ipv6)
{
	int s = OK(socket(AF_INET6, SOCK_RAW, IPPROTO_RAW)), on = 1, off = 0;
	EQ(opt6(s, IPV6_HDRINCL), 1);
	own_header(s);
	s = OK(socket(AF_INET6, SOCK_RAW, 254));
	EQ(opt6(s, IPV6_HDRINCL), 0);
	OK(setsockopt(s, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof on));
	EQ(opt6(s, IPV6_HDRINCL), 1);
	own_header(s);
	OK(setsockopt(s, IPPROTO_IPV6, IPV6_HDRINCL, &off, sizeof off));
	EQ(opt6(s, IPV6_HDRINCL), 0);
	s = OK(socket(AF_INET6, SOCK_DGRAM, 0));
	ERR(setsockopt(s, IPPROTO_IPV6, IPV6_HDRINCL, &on, sizeof on), ENOPROTOOPT);
}
