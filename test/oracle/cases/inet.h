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

__attribute__((unused)) static int listener(int *port)
{
	struct sockaddr_in a = addr(0);
	int l = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(bind(l, (void *)&a, sizeof a));
	OK(listen(l, 10));
	*port = port_of(l);
	CHECK(*port > 0);
	return l;
}

__attribute__((unused)) static void pair(int s[2])
{
	int port, l = listener(&port);
	struct sockaddr_in a = addr(port);
	s[0] = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(connect(s[0], (void *)&a, sizeof a));
	s[1] = OK(accept(l, NULL, NULL));
	OK(close(l));
}

#endif
