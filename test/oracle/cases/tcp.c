// tcp(7), ip(7), ipv6(7), socket(7) over loopback.
#include "inet.h"
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>

CASE(tcp_connect_and_names)
{
	int port, l = listener(&port);
	struct sockaddr_in a = addr(port), p;
	socklen_t n = sizeof p;
	int c = OK(socket(AF_INET, SOCK_STREAM, 0));
	ERR(getpeername(c, (void *)&p, &n), ENOTCONN);
	OK(connect(c, (void *)&a, sizeof a));
	ERR(connect(c, (void *)&a, sizeof a), EISCONN);
	int s = OK(accept(l, (void *)&p, &n));
	EQ(n, sizeof p);
	EQ(p.sin_family, AF_INET);
	EQ(ntohl(p.sin_addr.s_addr), INADDR_LOOPBACK);
	EQ(ntohs(p.sin_port), port_of(c));
	EQ(port_of(s), port);
	OK(getpeername(c, (void *)&p, &n));
	EQ(ntohs(p.sin_port), port);
}

CASE(tcp_data_both_ways)
{
	int s[2];
	char b[16] = "";
	pair(s);
	EQ(write(s[0], "ping", 4), 4);
	EQ(read(s[1], b, 16), 4);
	EQ(write(s[1], "pong!", 5), 5);
	EQ(read(s[0], b, 16), 5);
	STREQ(b, "pong!");
	ERR(recv(s[0], b, 1, MSG_DONTWAIT), EAGAIN);
}

CASE(tcp_end_of_stream)
{
	int s[2];
	char b[8];
	pair(s);
	EQ(write(s[0], "x", 1), 1);
	OK(shutdown(s[0], SHUT_WR));
	EQ(read(s[1], b, 8), 1);
	EQ(read(s[1], b, 8), 0);
	EQ(write(s[1], "still", 5), 5);
	EQ(read(s[0], b, 8), 5);
	signal(SIGPIPE, SIG_IGN);
	ERR(write(s[0], "x", 1), EPIPE);
	OK(close(s[1]));
	EQ(read(s[0], b, 8), 0);
}

CASE(tcp_reset_by_close_with_unread_data)
{
	int s[2];
	char b[8];
	pair(s);
	EQ(write(s[0], "unread", 6), 6);
	struct pollfd p = {s[1], POLLIN, 0};
	EQ(poll(&p, 1, 10000), 1);
	OK(close(s[1]));
	p.fd = s[0];
	EQ(poll(&p, 1, 10000), 1);
	CHECK(p.revents & POLLERR);
	ERR(read(s[0], b, 8), ECONNRESET);
	EQ(read(s[0], b, 8), 0);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

CASE(tcp_linger_zero_resets)
{
	int s[2];
	char b;
	struct linger l = {1, 0};
	pair(s);
	OK(setsockopt(s[1], SOL_SOCKET, SO_LINGER, &l, sizeof l));
	OK(close(s[1]));
	struct pollfd p = {s[0], POLLIN, 0};
	EQ(poll(&p, 1, 10000), 1);
	EQ(opt(s[0], SOL_SOCKET, SO_ERROR), ECONNRESET);
	EQ(opt(s[0], SOL_SOCKET, SO_ERROR), 0); // reading it clears it
	EQ(read(s[0], &b, 1), 0);
}

CASE(tcp_connection_refused)
{
	int port, l = listener(&port);
	OK(close(l));
	struct sockaddr_in a = addr(port);
	int c = OK(socket(AF_INET, SOCK_STREAM, 0));
	ERR(connect(c, (void *)&a, sizeof a), ECONNREFUSED);
	int nb = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	if (connect(nb, (void *)&a, sizeof a) < 0 && errno == EINPROGRESS) {
		struct pollfd p = {nb, POLLOUT, 0};
		EQ(poll(&p, 1, 10000), 1);
		CHECK(p.revents & POLLERR);
		EQ(opt(nb, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
	} else {
		EQ(errno, ECONNREFUSED);
	}
}

CASE(tcp_nonblocking_connect)
{
	int port, l = listener(&port);
	struct sockaddr_in a = addr(port);
	int c = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	ERR(connect(c, (void *)&a, sizeof a), EINPROGRESS);
	struct pollfd p = {c, POLLOUT, 0};
	EQ(poll(&p, 1, 10000), 1);
	EQ(p.revents, POLLOUT);
	EQ(opt(c, SOL_SOCKET, SO_ERROR), 0);
	OK(connect(c, (void *)&a, sizeof a)); // says once that it is done
	ERR(connect(c, (void *)&a, sizeof a), EISCONN);
	(void)l;
}

CASE(tcp_accept_nonblocking)
{
	int port, l = listener(&port);
	OK(fcntl(l, F_SETFL, O_NONBLOCK));
	ERR(accept(l, NULL, NULL), EAGAIN);
	struct sockaddr_in a = addr(port);
	int c = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(connect(c, (void *)&a, sizeof a));
	struct pollfd p = {l, POLLIN, 0};
	EQ(poll(&p, 1, 10000), 1);
	int s = OK(accept(l, NULL, NULL));
	EQ(fcntl(s, F_GETFL) & O_NONBLOCK, 0); // not inherited
	ERR(accept4(l, NULL, NULL, 0x40), EINVAL);
	ERR(accept(c, NULL, NULL), EINVAL);
}

CASE(tcp_bind_errors)
{
	int port, l = listener(&port);
	struct sockaddr_in a = addr(port);
	int s = OK(socket(AF_INET, SOCK_STREAM, 0));
	ERR(bind(s, (void *)&a, sizeof a), EADDRINUSE);
	ERR(bind(l, (void *)&a, sizeof a), EINVAL);
	ERR(bind(s, (void *)&a, 4), EINVAL);
	a.sin_addr.s_addr = htonl(0x08080808);
	ERR(bind(s, (void *)&a, sizeof a), EADDRNOTAVAIL);
	a = addr(0);
	a.sin_family = 77;
	ERR(bind(s, (void *)&a, sizeof a), EAFNOSUPPORT);
	CHILD(k) {
		struct sockaddr_in low = addr(999);
		become_nobody();
		int u = OK(socket(AF_INET, SOCK_STREAM, 0));
		ERR(bind(u, (void *)&low, sizeof low), EACCES);
	}
	REAP(k);
}

CASE(tcp_reuseaddr_and_reuseport)
{
	int one = 1, a = OK(socket(AF_INET, SOCK_STREAM, 0)), b = OK(socket(AF_INET, SOCK_STREAM, 0));
	struct sockaddr_in x = addr(0);
	OK(setsockopt(a, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one));
	OK(setsockopt(b, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one));
	OK(bind(a, (void *)&x, sizeof x));
	x = addr(port_of(a));
	OK(bind(b, (void *)&x, sizeof x));
	OK(listen(a, 1));
	OK(listen(b, 1));
	int port, l = listener(&port), c = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(setsockopt(c, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	x = addr(port);
	ERR(bind(c, (void *)&x, sizeof x), EADDRINUSE); // somebody listens
	(void)l;
}

CASE(tcp_rebind_after_close_with_reuseaddr)
{
	int l = OK(socket(AF_INET, SOCK_STREAM, 0)), one = 1;
	struct sockaddr_in a = addr(0);
	OK(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	OK(bind(l, (void *)&a, sizeof a));
	OK(listen(l, 1));
	a = addr(port_of(l));
	int c = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(connect(c, (void *)&a, sizeof a));
	int s = OK(accept(l, NULL, NULL));
	OK(close(s)); // the server's end closes first: it keeps TIME_WAIT
	char b;
	EQ(read(c, &b, 1), 0);
	OK(close(c));
	OK(close(l));
	l = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
	OK(bind(l, (void *)&a, sizeof a));
	OK(listen(l, 1));
}

CASE(tcp_socket_options)
{
	int s = OK(socket(AF_INET, SOCK_STREAM, 0)), v = 1;
	socklen_t n;
	EQ(opt(s, SOL_SOCKET, SO_TYPE), SOCK_STREAM);
	EQ(opt(s, SOL_SOCKET, SO_DOMAIN), AF_INET);
	EQ(opt(s, SOL_SOCKET, SO_PROTOCOL), IPPROTO_TCP);
	EQ(opt(s, SOL_SOCKET, SO_ACCEPTCONN), 0);
	EQ(opt(s, SOL_SOCKET, SO_REUSEADDR), 0);
	EQ(opt(s, SOL_SOCKET, SO_KEEPALIVE), 0);
	EQ(opt(s, IPPROTO_TCP, TCP_NODELAY), 0);
	OK(setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &v, sizeof v));
	EQ(opt(s, IPPROTO_TCP, TCP_NODELAY), 1);
	OK(setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &v, sizeof v));
	EQ(opt(s, SOL_SOCKET, SO_KEEPALIVE), 1);
	v = 5000;
	OK(setsockopt(s, SOL_SOCKET, SO_RCVBUF, &v, sizeof v));
	EQ(opt(s, SOL_SOCKET, SO_RCVBUF), 10000); // doubled
	v = 1;
	OK(setsockopt(s, SOL_SOCKET, SO_SNDBUF, &v, sizeof v));
	CHECK(opt(s, SOL_SOCKET, SO_SNDBUF) >= 2048);
	v = 77;
	OK(setsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, &v, sizeof v));
	EQ(opt(s, IPPROTO_TCP, TCP_KEEPIDLE), 77);
	ERR(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &v, 1), EINVAL);
	ERR(setsockopt(s, SOL_SOCKET, SO_REUSEADDR, BAD_PTR, 4), EFAULT);
	ERR(setsockopt(s, SOL_SOCKET, 9999, &v, 4), ENOPROTOOPT);
	ERR(getsockopt(s, SOL_SOCKET, 9999, &v, (n = 4, &n)), ENOPROTOOPT);
	ERR(getsockopt(s, 9999, 1, &v, (n = 4, &n)), EOPNOTSUPP);
	n = 2;
	OK(getsockopt(s, SOL_SOCKET, SO_TYPE, &v, &n));
	EQ(n, 2); // cut to the room given
	OK(listen(s, 1));
	EQ(opt(s, SOL_SOCKET, SO_ACCEPTCONN), 1);
}

CASE(tcp_info_states)
{
	int s[2];
	struct tcp_info ti;
	socklen_t n = sizeof ti;
	pair(s);
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_INFO, &ti, &n));
	EQ(ti.tcpi_state, TCP_ESTABLISHED);
	int l, port;
	l = listener(&port);
	n = sizeof ti;
	OK(getsockopt(l, IPPROTO_TCP, TCP_INFO, &ti, &n));
	EQ(ti.tcpi_state, TCP_LISTEN);
	OK(shutdown(s[0], SHUT_WR));
	char b;
	EQ(read(s[1], &b, 1), 0);
	n = sizeof ti;
	OK(getsockopt(s[1], IPPROTO_TCP, TCP_INFO, &ti, &n));
	EQ(ti.tcpi_state, TCP_CLOSE_WAIT);
}

// The header of the C library knows the first part of struct tcp_info only.
CASE(tcp_info_figures)
{
	int s[2];
	struct {
		struct tcp_info i;
		unsigned long long pacing, max_pacing, acked, received;
		unsigned segs_out, segs_in, notsent, min_rtt, data_in, data_out;
		unsigned long long delivery_rate;
	} t;
	char b[1000] = "";
	socklen_t n = sizeof t;
	CHECK(sizeof t.i == 104);
	pair(s);
	EQ(write(s[0], b, sizeof b), sizeof b);
	EQ(recv(s[1], b, sizeof b, MSG_WAITALL), sizeof b);
	EQ(write(s[1], b, 1), 1); // acknowledges
	EQ(read(s[0], b, 1), 1);
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_INFO, &t, &n));
	EQ(n, sizeof t);
	EQ(t.i.tcpi_options, TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
	CHECK(t.i.tcpi_snd_wscale > 0);
	EQ(t.i.tcpi_snd_wscale, t.i.tcpi_rcv_wscale);
	CHECK(t.i.tcpi_rto >= 200000);
	EQ(t.i.tcpi_unacked, 0);
	CHECK(t.i.tcpi_snd_mss >= 536);
	CHECK(t.i.tcpi_advmss >= t.i.tcpi_snd_mss);
	CHECK(t.i.tcpi_pmtu > t.i.tcpi_advmss);
	CHECK(t.i.tcpi_snd_cwnd >= 10);
	EQ(t.i.tcpi_total_retrans, 0);
	CHECK(t.pacing > 0);
	EQ(t.max_pacing, ~0ull);
	EQ(t.received, 1);
	EQ(t.data_out, 1);
	EQ(t.data_in, 1);
	CHECK(t.delivery_rate > 0);
	int v = 100000;
	OK(setsockopt(s[0], SOL_SOCKET, SO_MAX_PACING_RATE, &v, sizeof v));
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_INFO, &t, &n));
	EQ(t.max_pacing, v);
	CHECK(t.pacing <= v);
}

CASE(tcp_large_transfer)
{
	int s[2];
	size_t n = 4 << 20;
	pair(s);
	CHILD(k) {
		unsigned *m = malloc(n);
		OK(close(s[1]));
		for (size_t i = 0; i < n / 4; i++)
			m[i] = i * 2654435761u;
		size_t off = 0;
		while (off < n)
			off += OK(write(s[0], (char *)m + off, n - off));
	}
	OK(close(s[0]));
	unsigned *m = malloc(n);
	size_t off = 0;
	ssize_t r;
	while ((r = OK(read(s[1], (char *)m + off, n - off))) > 0)
		off += r;
	EQ(off, n);
	for (size_t i = 0; i < n / 4; i++)
		if (m[i] != (unsigned)(i * 2654435761u))
			FAILF("word %zu is wrong", i);
	REAP(k);
}

CASE(tcp_send_buffer_fills_and_drains)
{
	int s[2];
	char *b = calloc(1, 65536);
	pair(s);
	OK(fcntl(s[0], F_SETFL, O_NONBLOCK));
	long total = 0, n;
	struct pollfd p = {s[0], POLLOUT, 0};
	do {
		while ((n = write(s[0], b, 65536)) > 0)
			total += n;
		EQ(errno, EAGAIN);
	} while (poll(&p, 1, 100) > 0);
	while (total > 0)
		total -= OK(read(s[1], b, 65536));
	EQ(poll(&p, 1, 10000), 1);
	EQ(p.revents, POLLOUT);
}

CASE(tcp_peek_waitall_trunc)
{
	int s[2];
	char b[16] = "";
	pair(s);
	EQ(write(s[0], "abcdef", 6), 6);
	EQ(recv(s[1], b, 3, MSG_PEEK | MSG_WAITALL), 3);
	EQ(recv(s[1], b, 6, MSG_WAITALL), 6);
	STREQ(b, "abcdef");
	EQ(write(s[0], "gh", 2), 2);
	struct pollfd p = {s[1], POLLIN, 0};
	EQ(poll(&p, 1, 10000), 1);
	EQ(recv(s[1], NULL, 2, MSG_TRUNC), 2); // thrown away
	ERR(recv(s[1], b, 1, MSG_DONTWAIT), EAGAIN);
	int n;
	EQ(write(s[0], "xyz", 3), 3);
	EQ(poll(&p, 1, 10000), 1);
	OK(ioctl(s[1], FIONREAD, &n));
	EQ(n, 3);
}

CASE(tcp_urgent_data)
{
	int s[2], at;
	char b[8];
	pair(s);
	EQ(send(s[0], "abC", 3, MSG_OOB), 3);
	struct pollfd p = {s[1], POLLPRI, 0};
	EQ(poll(&p, 1, 10000), 1);
	EQ(p.revents, POLLPRI);
	EQ(recv(s[1], b, 8, 0), 2); // reading stops before the mark
	OK(ioctl(s[1], SIOCATMARK, &at));
	EQ(at, 1);
	EQ(recv(s[1], b, 8, MSG_OOB), 1);
	EQ(b[0], 'C');
	ERR(recv(s[1], b, 8, MSG_OOB), EINVAL);
}

CASE(tcp_timeouts)
{
	int s[2];
	char b;
	struct timeval tv = {0, 50000}, got;
	socklen_t n = sizeof got;
	pair(s);
	OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	OK(getsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &got, &n));
	EQ(got.tv_sec, 0);
	CHECK(got.tv_usec >= 50000 && got.tv_usec < 70000);
	long long t = now_ms();
	ERR(read(s[0], &b, 1), EAGAIN);
	CHECK(now_ms() - t >= 45);
	struct timeval bad = {0, 2000000};
	ERR(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &bad, sizeof bad), EDOM);
}

CASE(tcp_interrupted_calls)
{
	int s[2], port, l = listener(&port);
	char b;
	pair(s);
	start_ticks(0);
	ERR(read(s[0], &b, 1), EINTR);
	ERR(accept(l, NULL, NULL), EINTR);
	stop_ticks();
}

CASE(tcp_close_wakes_nobody_but_shutdown_does)
{
	int s[2];
	char b;
	pair(s);
	CHILD(k) {
		EQ(read(s[0], &b, 1), 0);
	}
	msleep(30);
	OK(shutdown(s[0], SHUT_RDWR)); // the same socket, in the parent
	REAP(k);
}

CASE(tcp_shutdown_of_listener_ends_accept)
{
	int port, l = listener(&port);
	CHILD(k) {
		ERR(accept(l, NULL, NULL), EINVAL);
	}
	msleep(30);
	OK(shutdown(l, SHUT_RD));
	REAP(k);
}

CASE(tcp_epoll_edge)
{
	int s[2], ep = OK(epoll_create1(0));
	struct epoll_event e = {EPOLLIN | EPOLLRDHUP | EPOLLET, {0}};
	char b[8];
	pair(s);
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, s[1], &e));
	EQ(epoll_wait(ep, &e, 1, 0), 0);
	EQ(write(s[0], "x", 1), 1);
	EQ(epoll_wait(ep, &e, 1, 10000), 1);
	EQ(e.events, EPOLLIN);
	EQ(epoll_wait(ep, &e, 1, 0), 0);
	EQ(read(s[1], b, 8), 1);
	OK(shutdown(s[0], SHUT_WR));
	EQ(epoll_wait(ep, &e, 1, 10000), 1);
	EQ(e.events, EPOLLIN | EPOLLRDHUP);
}

CASE(tcp_sendfile_and_splice)
{
	int s[2], p[2];
	char b[16];
	pair(s);
	OK(pipe(p));
	EQ(write(p[1], "spliced", 7), 7);
	EQ(splice(p[0], NULL, s[0], NULL, 7, 0), 7);
	EQ(recv(s[1], b, 7, MSG_WAITALL), 7);
	EQ(memcmp(b, "spliced", 7), 0);
	EQ(write(s[0], "back", 4), 4);
	EQ(splice(s[1], NULL, p[1], NULL, 4, 0), 4);
	EQ(read(p[0], b, 16), 4);
}

CASE(tcp_many_connections)
{
	int port, l = listener(&port), c[50], s[50];
	struct sockaddr_in a = addr(port);
	for (int i = 0; i < 50; i++) {
		c[i] = OK(socket(AF_INET, SOCK_STREAM, 0));
		OK(connect(c[i], (void *)&a, sizeof a));
		s[i] = OK(accept(l, NULL, NULL));
	}
	for (int i = 0; i < 50; i++) {
		char v = i, r;
		EQ(write(c[i], &v, 1), 1);
		EQ(read(s[i], &r, 1), 1);
		EQ(r, v);
	}
}

CASE(inet6_loopback)
{
	int s = socket(AF_INET6, SOCK_STREAM, 0);
	if (s < 0 && errno == EAFNOSUPPORT)
		SKIP("no IPv6");
	struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
	socklen_t n = sizeof a;
	CHECK(s >= 0);
	if (bind(s, (void *)&a, sizeof a) < 0 && errno == EADDRNOTAVAIL)
		SKIP("no IPv6 loopback address");
	OK(listen(s, 1));
	OK(getsockname(s, (void *)&a, &n));
	EQ(n, sizeof a);
	int c = OK(socket(AF_INET6, SOCK_STREAM, 0));
	OK(connect(c, (void *)&a, sizeof a));
	int p = OK(accept(s, (void *)&a, &n));
	CHECK(IN6_IS_ADDR_LOOPBACK(&a.sin6_addr));
	EQ(write(c, "six", 3), 3);
	char b[4];
	EQ(read(p, b, 4), 3);
}

CASE(inet6_dual_stack)
{
	int s = socket(AF_INET6, SOCK_STREAM, 0), v = -1, zero = 0;
	if (s < 0 && errno == EAFNOSUPPORT)
		SKIP("no IPv6");
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	socklen_t n = sizeof a;
	OK(setsockopt(s, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof zero));
	v = opt(s, IPPROTO_IPV6, IPV6_V6ONLY);
	EQ(v, 0);
	OK(bind(s, (void *)&a, sizeof a));
	OK(listen(s, 1));
	OK(getsockname(s, (void *)&a, &n));
	struct sockaddr_in x = addr(ntohs(a.sin6_port));
	int c = OK(socket(AF_INET, SOCK_STREAM, 0));
	OK(connect(c, (void *)&x, sizeof x));
	n = sizeof a;
	int p = OK(accept(s, (void *)&a, &n));
	EQ(a.sin6_family, AF_INET6);
	CHECK(IN6_IS_ADDR_V4MAPPED(&a.sin6_addr)); // an IPv4 client as ::ffff:127.0.0.1
	(void)p;
}

CASE(tcp_fastopen)
{
	int port, l = listener(&port), c = OK(socket(AF_INET, SOCK_STREAM, 0)), v = 5;
	struct sockaddr_in a = addr(port);
	char b[16];
	EQ(opt(l, IPPROTO_TCP, TCP_FASTOPEN), 0);
	OK(setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN, &v, sizeof v));
	EQ(opt(l, IPPROTO_TCP, TCP_FASTOPEN), 5);
	v = -1;
	ERR(setsockopt(l, IPPROTO_TCP, TCP_FASTOPEN, &v, sizeof v), EINVAL);
	v = 2;
	ERR(setsockopt(c, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &v, sizeof v), EINVAL);
	// Without a cookie the connection is made first.
	EQ(OK(sendto(c, "hello", 5, MSG_FASTOPEN, (void *)&a, sizeof a)), 5);
	int s = OK(accept(l, NULL, NULL));
	EQ(OK(recv(s, b, sizeof b, 0)), 5);
	ERR(sendto(c, "hello", 5, MSG_FASTOPEN, (void *)&a, sizeof a), EISCONN);
	v = 1;
	ERR(setsockopt(c, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &v, sizeof v), EINVAL);
	ERR(setsockopt(c, IPPROTO_TCP, TCP_FASTOPEN, &v, sizeof v), EINVAL);
	int d = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	OK(setsockopt(d, IPPROTO_TCP, TCP_FASTOPEN_CONNECT, &v, sizeof v));
	EQ(opt(d, IPPROTO_TCP, TCP_FASTOPEN_CONNECT), 1);
	ERR(connect(d, (void *)&a, sizeof a), EINPROGRESS);
	OK(close(d));
	d = OK(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
	ERR(sendto(d, "hello", 5, MSG_FASTOPEN, (void *)&a, sizeof a), EINPROGRESS);
	d = OK(socket(AF_INET, SOCK_STREAM, 0));
	ERR(sendto(d, "hello", 5, MSG_FASTOPEN, NULL, 0), EINVAL);
	struct sockaddr unspec = {.sa_family = AF_UNSPEC};
	ERR(sendto(d, "hello", 5, MSG_FASTOPEN, &unspec, sizeof unspec), EOPNOTSUPP);
	a = addr(1);
	ERR(sendto(d, "hello", 5, MSG_FASTOPEN, (void *)&a, sizeof a), ECONNREFUSED);
}

CASE(tcp_least_ttl)
{
	// RFC 5082: packets that come from afar are not for this socket.
	int s[2], v = 255, ttl = 254;
	pair(s);
	EQ(opt(s[1], IPPROTO_IP, IP_MINTTL), 0);
	OK(setsockopt(s[1], IPPROTO_IP, IP_MINTTL, &v, sizeof v));
	EQ(opt(s[1], IPPROTO_IP, IP_MINTTL), 255);
	OK(setsockopt(s[0], IPPROTO_IP, IP_TTL, &ttl, sizeof ttl));
	EQ(OK(send(s[0], "x", 1, 0)), 1);
	char b;
	ERR(recv(s[1], &b, 1, MSG_DONTWAIT), EAGAIN);
	OK(setsockopt(s[0], IPPROTO_IP, IP_TTL, &v, sizeof v));
	EQ(OK(recv(s[1], &b, 1, 0)), 1); // sent again
	v = 256;
	ERR(setsockopt(s[1], IPPROTO_IP, IP_MINTTL, &v, sizeof v), EINVAL);
}

CASE(tcp_bbr_info)
{
	// struct tcp_bbr_info: what BBR knows at first, and that it learns.
	int s[2];
	struct {
		unsigned bw[2], min_rtt, pacing_gain, cwnd_gain;
	} i;
	socklen_t n = sizeof i;
	char b[1000];
	pair(s);
	OK(setsockopt(s[0], IPPROTO_TCP, TCP_CONGESTION, "reno", 4));
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_CC_INFO, &i, &n));
	EQ(n, 0);
	if (setsockopt(s[0], IPPROTO_TCP, TCP_CONGESTION, "bbr", 3) == -1)
		SKIP("no bbr");
	n = sizeof i;
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_CC_INFO, &i, &n));
	EQ(n, sizeof i);
	EQ(i.bw[0], 0);
	for (int k = 0; k < 10; k++) {
		EQ(send(s[0], b, sizeof b, 0), sizeof b);
		EQ(recv(s[1], b, sizeof b, MSG_WAITALL), sizeof b);
		EQ(send(s[1], b, 1, 0), 1);
		EQ(recv(s[0], b, 1, 0), 1);
	}
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_CC_INFO, &i, &n));
	CHECK(i.bw[0] > 0);
	CHECK(i.min_rtt < 10000000);
	CHECK(i.pacing_gain > 0);
	CHECK(i.cwnd_gain >= 512);
	n = 6;
	OK(getsockopt(s[0], IPPROTO_TCP, TCP_CC_INFO, &i, &n));
	EQ(n, 6);
}

// Nothing can be put between a program and TCP.
CASE(tcp_ulp_unknown)
{
	int s = OK(socket(AF_INET, SOCK_STREAM, 0));
	char name[16];
	socklen_t n = sizeof name;
	ERR(setsockopt(s, IPPROTO_TCP, TCP_ULP, "", 0), EINVAL);
	ERR(setsockopt(s, IPPROTO_TCP, TCP_ULP, "none", 4), ENOENT);
	OK(getsockopt(s, IPPROTO_TCP, TCP_ULP, name, &n));
	EQ(n, 0);
}
