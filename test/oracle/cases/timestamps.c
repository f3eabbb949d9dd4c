// timestamps.c: when packets were received, sent and acknowledged (SO_TIMESTAMP, SO_TIMESTAMPING).
#include "inet.h"
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>

static double now(void)
{
	struct timespec t;
	OK(clock_gettime(CLOCK_REALTIME, &t));
	return t.tv_sec + t.tv_nsec / 1e9;
}

// socks makes a socket and one that is connected to it.
static void socks(int s[2])
{
	struct sockaddr_in a = addr(0);
	s[0] = OK(socket(AF_INET, SOCK_DGRAM, 0));
	s[1] = OK(socket(AF_INET, SOCK_DGRAM, 0));
	OK(bind(s[0], (void *)&a, sizeof a));
	a = addr(port_of(s[0]));
	OK(connect(s[1], (void *)&a, sizeof a));
}

static void set(int s, int name, int v) { OK(setsockopt(s, SOL_SOCKET, name, &v, sizeof v)); }

// A message of control with room for times.
struct control {
	char b[400];
	struct msghdr m;
	struct cmsghdr *c;
};

// receive sends a datagram and receives it; between is when that was.
static void receive(int s[2], struct control *c, double between[2])
{
	static char b[10];
	static struct iovec v;
	v = (struct iovec){b, sizeof b};
	between[0] = now() - 0.001;
	EQ(send(s[1], "x", 1, 0), 1);
	between[1] = now() + 0.001;
	c->m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = c->b, .msg_controllen = sizeof c->b};
	EQ(recvmsg(s[0], &c->m, 0), 1);
	c->c = CMSG_FIRSTHDR(&c->m);
}

// next takes a control message of SOL_SOCKET, all of whose data it copies.
static void next(struct control *c, int type, void *data, size_t n)
{
	CHECK(c->c);
	EQ(c->c->cmsg_level, SOL_SOCKET);
	EQ(c->c->cmsg_type, type);
	EQ(c->c->cmsg_len, CMSG_LEN(n));
	memcpy(data, CMSG_DATA(c->c), n);
	c->c = CMSG_NXTHDR(&c->m, c->c);
}

static void is_between(double t, double between[2])
{
	CHECK(t >= between[0]);
	CHECK(t <= between[1]);
}

// Socket options with 64 bits everywhere.
enum { NEW_TIMESTAMP = 63, NEW_TIMESTAMPNS = 64, NEW_TIMESTAMPING = 65 };

CASE(timestamp_forms)
{
	int s[2], usec[] = {SO_TIMESTAMP, NEW_TIMESTAMP}, nsec[] = {SO_TIMESTAMPNS, NEW_TIMESTAMPNS};
	struct control c;
	double between[2];
	socks(s);
	receive(s, &c, between);
	CHECK(!c.c);
	for (int k = 0; k < 2; k++) {
		struct timeval tv;
		struct timespec ts;
		set(s[0], usec[k], 1);
		EQ(opt(s[0], SOL_SOCKET, usec[k]), 1);
		receive(s, &c, between);
		next(&c, usec[k], &tv, sizeof tv);
		CHECK(!c.c);
		is_between(tv.tv_sec + tv.tv_usec / 1e6, between);
		set(s[0], nsec[k], 1); // replaces the other
		EQ(opt(s[0], SOL_SOCKET, usec[k]), k); // the new one of Linux says so nevertheless
		EQ(opt(s[0], SOL_SOCKET, nsec[k]), 1);
		receive(s, &c, between);
		next(&c, nsec[k], &ts, sizeof ts);
		CHECK(!c.c);
		is_between(ts.tv_sec + ts.tv_nsec / 1e9, between);
	}
	set(s[0], SO_TIMESTAMP, 0);
	receive(s, &c, between);
	CHECK(!c.c);
}

CASE(timestamping_receive)
{
	// Devices without a clock have nothing to tell, but are asked by many programs.
	int hardware = SOF_TIMESTAMPING_RX_HARDWARE | SOF_TIMESTAMPING_RAW_HARDWARE | SOF_TIMESTAMPING_SYS_HARDWARE;
	int software = SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE;
	int s[2], names[] = {SO_TIMESTAMPING, NEW_TIMESTAMPING};
	int flags[] = {software, software | hardware, software | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_CMSG | SOF_TIMESTAMPING_OPT_TSONLY | SOF_TIMESTAMPING_OPT_TX_SWHW};
	struct control c;
	struct scm_timestamping t;
	double between[2];
	socks(s);
	for (int k = 0; k < 2; k++)
		for (int f = 0; f < 3; f++) {
			set(s[0], names[k], flags[f]);
			EQ(opt(s[0], SOL_SOCKET, names[k]), flags[f]);
			receive(s, &c, between);
			next(&c, names[k], &t, sizeof t);
			CHECK(!c.c);
			is_between(t.ts[0].tv_sec + t.ts[0].tv_nsec / 1e9, between);
			for (int n = 1; n < 3; n++) {
				EQ(t.ts[n].tv_sec, 0);
				EQ(t.ts[n].tv_nsec, 0);
			}
		}
	set(s[0], SO_TIMESTAMPING, hardware);
	receive(s, &c, between);
	CHECK(!c.c);
	set(s[0], SO_TIMESTAMPING, 0);
	receive(s, &c, between);
	CHECK(!c.c);
}

CASE(timestamp_and_timestamping)
{
	int s[2];
	struct control c;
	struct timespec ts;
	struct scm_timestamping t;
	double between[2];
	socks(s);
	set(s[0], SO_TIMESTAMPNS, 1);
	set(s[0], SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE); // tells what there is
	receive(s, &c, between);
	next(&c, SO_TIMESTAMPNS, &ts, sizeof ts);
	next(&c, SO_TIMESTAMPING, &t, sizeof t);
	CHECK(!c.c);
	EQ(memcmp(&ts, &t.ts[0], sizeof ts), 0);
	is_between(ts.tv_sec + ts.tv_nsec / 1e9, between);
}

CASE(timestamping_flags)
{
	int s[2], v = 1 << 30;
	socks(s);
	ERR(setsockopt(s[0], SOL_SOCKET, SO_TIMESTAMPING, &v, sizeof v), EINVAL);
	v = SOF_TIMESTAMPING_OPT_STATS;
	ERR(setsockopt(s[0], SOL_SOCKET, SO_TIMESTAMPING, &v, sizeof v), EINVAL);
	v = 1 << 16; // SOF_TIMESTAMPING_OPT_ID_TCP
	ERR(setsockopt(s[0], SOL_SOCKET, SO_TIMESTAMPING, &v, sizeof v), EINVAL);
	EQ(opt(s[0], SOL_SOCKET, SO_TIMESTAMPING), 0);
}

// The time of the last packet, once somebody has asked for it.
CASE(timestamp_of_last)
{
	int s[2];
	char b;
	struct timeval tv;
	struct timespec ts;
	double between[2];
	socks(s);
	ERR(ioctl(s[0], SIOCGSTAMP_OLD, &tv), ENOENT);
	ERR(ioctl(s[0], SIOCGSTAMPNS_OLD, &ts), ENOENT);
	between[0] = now() - 0.001;
	EQ(send(s[1], "x", 1, 0), 1);
	between[1] = now() + 0.001;
	EQ(recv(s[0], &b, 1, 0), 1);
	OK(ioctl(s[0], SIOCGSTAMP_OLD, &tv));
	OK(ioctl(s[0], SIOCGSTAMPNS_OLD, &ts));
	is_between(tv.tv_sec + tv.tv_usec / 1e6, between);
	is_between(ts.tv_sec + ts.tv_nsec / 1e9, between);
}

CASE(timestamp_tcp)
{
	int s[2];
	char b[2];
	struct iovec v = {b, 1};
	struct control c = {0};
	struct timespec ts;
	double between[2];
	pair(s);
	set(s[1], SO_TIMESTAMPNS, 1);
	between[0] = now() - 0.001;
	EQ(send(s[0], "x", 1, 0), 1);
	struct pollfd p = {s[1], POLLIN, 0};
	EQ(poll(&p, 1, 10000), 1);
	between[1] = now() + 0.001;
	c.m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof c.b};
	EQ(recvmsg(s[1], &c.m, 0), 1);
	c.c = CMSG_FIRSTHDR(&c.m);
	next(&c, SO_TIMESTAMPNS, &ts, sizeof ts);
	CHECK(!c.c);
	is_between(ts.tv_sec + ts.tv_nsec / 1e9, between);
}

enum { FLAGS = SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_OPT_ID | SOF_TIMESTAMPING_OPT_TSONLY, ON_THE_WAY = SOF_TIMESTAMPING_TX_SCHED | SOF_TIMESTAMPING_TX_SOFTWARE };

// stamped waits for a stamp of what s has sent, of a kind and with a number, and returns the length of the data with it.
static int stamped(int s, unsigned kind, unsigned key, char *data, size_t n, double since)
{
	struct control c;
	struct scm_timestamping t;
	struct sock_extended_err e;
	struct iovec v = {data, n};
	struct pollfd p = {s, 0, 0};
	EQ(poll(&p, 1, 20000), 1);
	EQ(p.revents, POLLERR);
	c.m = (struct msghdr){.msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof c.b};
	int got = OK(recvmsg(s, &c.m, MSG_ERRQUEUE | MSG_DONTWAIT));
	EQ(c.m.msg_flags, MSG_ERRQUEUE);
	c.c = CMSG_FIRSTHDR(&c.m);
	next(&c, SO_TIMESTAMPING, &t, sizeof t);
	is_between(t.ts[0].tv_sec + t.ts[0].tv_nsec / 1e9, (double[]){since - 0.001, now() + 0.001});
	EQ(t.ts[2].tv_sec, 0);
	CHECK(c.c && c.c->cmsg_level == IPPROTO_IP && c.c->cmsg_type == IP_RECVERR);
	memcpy(&e, CMSG_DATA(c.c), sizeof e);
	EQ(e.ee_errno, ENOMSG);
	EQ(e.ee_origin, SO_EE_ORIGIN_TIMESTAMPING);
	EQ(e.ee_info, kind);
	EQ(e.ee_data, key);
	return got;
}

static void no_more(int s)
{
	char b[4];
	ERR(recv(s, b, sizeof b, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
	EQ(opt(s, SOL_SOCKET, SO_ERROR), 0);
	ERR(recv(s, b, sizeof b, MSG_DONTWAIT), EAGAIN);
}

CASE(timestamping_of_sent_datagrams)
{
	int s[2];
	char b[100];
	double before = now();
	socks(s);
	set(s[1], SO_TIMESTAMPING, FLAGS | ON_THE_WAY);
	for (unsigned k = 0; k < 2; k++)
		EQ(send(s[1], "hello", 5, 0), 5);
	for (unsigned k = 0; k < 2; k++) {
		EQ(stamped(s[1], SCM_TSTAMP_SCHED, k, b, sizeof b, before), 0);
		EQ(stamped(s[1], SCM_TSTAMP_SND, k, b, sizeof b, before), 0);
	}
	no_more(s[1]);
	// Without numbers, and with the frame: Ethernet's header, IP's, UDP's.
	set(s[1], SO_TIMESTAMPING, SOF_TIMESTAMPING_SOFTWARE | SOF_TIMESTAMPING_TX_SOFTWARE);
	EQ(send(s[1], "hello", 5, 0), 5);
	EQ(stamped(s[1], SCM_TSTAMP_SND, 0, b, sizeof b, before), 14 + 20 + 8 + 5);
	EQ(b[12], 8);
	EQ(b[14], 0x45);
	EQ((unsigned char)b[14 + 3], 20 + 8 + 5);
	EQ(b[14 + 9], IPPROTO_UDP);
	EQ(memcmp(b + 14 + 20 + 8, "hello", 5), 0);
	// Numbers begin anew when they are asked for.
	set(s[1], SO_TIMESTAMPING, FLAGS | SOF_TIMESTAMPING_TX_SOFTWARE | SOF_TIMESTAMPING_TX_ACK);
	EQ(send(s[1], "hello", 5, 0), 5);
	EQ(stamped(s[1], SCM_TSTAMP_SND, 0, b, sizeof b, before), 0);
	no_more(s[1]);
	set(s[1], SO_TIMESTAMPING, FLAGS);
	EQ(send(s[1], "hello", 5, 0), 5);
	no_more(s[1]);
}

// send_asking sends bytes with a request for stamps.
static void send_asking(int s, size_t n, unsigned want)
{
	static char data[100];
	struct iovec v = {data, n};
	union {
		char b[CMSG_SPACE(4)];
		struct cmsghdr h;
	} c = {.h = {.cmsg_len = CMSG_LEN(4), .cmsg_level = SOL_SOCKET, .cmsg_type = SO_TIMESTAMPING}};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = c.b, .msg_controllen = sizeof c.b};
	memcpy(CMSG_DATA(&c.h), &want, 4);
	if (want & ~(ON_THE_WAY | SOF_TIMESTAMPING_TX_ACK))
		ERR(sendmsg(s, &m, 0), EINVAL);
	else
		EQ(sendmsg(s, &m, 0), n);
}

CASE(timestamping_of_one_message)
{
	int s[2];
	char b[4];
	double before = now();
	socks(s);
	set(s[1], SO_TIMESTAMPING, FLAGS);
	send_asking(s[1], 3, SOF_TIMESTAMPING_RX_SOFTWARE);
	EQ(send(s[1], "hello", 5, 0), 5);
	send_asking(s[1], 3, SOF_TIMESTAMPING_TX_SCHED);
	EQ(stamped(s[1], SCM_TSTAMP_SCHED, 0, b, sizeof b, before), 0);
	no_more(s[1]);
	pair(s);
	set(s[0], SO_TIMESTAMPING, FLAGS);
	send_asking(s[0], 30, SOF_TIMESTAMPING_TX_ACK);
	EQ(stamped(s[0], SCM_TSTAMP_ACK, 29, b, sizeof b, before), 0);
	no_more(s[0]);
}

CASE(timestamping_of_sent_bytes)
{
	int s[2], flags = FLAGS | ON_THE_WAY | SOF_TIMESTAMPING_TX_ACK;
	char b[10];
	double before = now();
	s[0] = OK(socket(AF_INET, SOCK_STREAM, 0));
	ERR(setsockopt(s[0], SOL_SOCKET, SO_TIMESTAMPING, &flags, sizeof flags), EINVAL); // numbers of what?
	pair(s);
	set(s[0], SO_TIMESTAMPING, flags);
	for (unsigned n = 5, end = 0; n < 8; n++) {
		EQ(send(s[0], "a message", n, 0), n);
		end += n;
		EQ(stamped(s[0], SCM_TSTAMP_SCHED, end - 1, b, sizeof b, before), 0);
		EQ(stamped(s[0], SCM_TSTAMP_SND, end - 1, b, sizeof b, before), 0);
		EQ(stamped(s[0], SCM_TSTAMP_ACK, end - 1, b, sizeof b, before), 0);
	}
	no_more(s[0]);
}
