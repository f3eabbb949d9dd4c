// What the cases about TCP and UDP share.
#ifndef INET_H
#define INET_H

#include "oracle.h"
#include <arpa/inet.h>
#include <netinet/in.h>

static struct sockaddr_in addr(int port)
{
	return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int port_of(int s)
{
	struct sockaddr_in a;
	socklen_t n = sizeof a;
	OK(getsockname(s, (void *)&a, &n));
	EQ(n, sizeof a);
	return ntohs(a.sin_port);
}

__attribute__((unused)) static int opt(int s, int level, int name)
{
	int v = -1;
	socklen_t n = sizeof v;
	OK(getsockopt(s, level, name, &v, &n));
	return v;
}

#endif
