// unix(7): stream, datagram, seqpacket, socketpair, names, shutdown, SO_PEERCRED.
#include "oracle.h"
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/un.h>

static socklen_t name(struct sockaddr_un *a, const char *path)
{
	memset(a, 0, sizeof *a);
	a->sun_family = AF_UNIX;
	strcpy(a->sun_path, path);
	return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}

static int bound(int type, const char *path)
{
	struct sockaddr_un a;
	socklen_t n = name(&a, path);
	int s = OK(socket(AF_UNIX, type, 0));
	OK(bind(s, (void *)&a, n));
	return s;
}

static int connected(int type, const char *path)
{
	struct sockaddr_un a;
	socklen_t n = name(&a, path);
	int s = OK(socket(AF_UNIX, type, 0));
	OK(connect(s, (void *)&a, n));
	return s;
}

CASE(unix_stream_pair)
{
	int s[2];
	char b[16] = "";
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(write(s[0], "abc", 3), 3);
	EQ(write(s[0], "def", 3), 3);
	EQ(read(s[1], b, 16), 6); // no boundaries
	STREQ(b, "abcdef");
	EQ(send(s[1], "back", 4, 0), 4);
	EQ(recv(s[0], b, 2, MSG_PEEK), 2);
	EQ(recv(s[0], b, 16, 0), 4);
	ERR(recv(s[0], b, 1, MSG_DONTWAIT), EAGAIN);
	OK(close(s[1]));
	EQ(read(s[0], b, 1), 0);
	signal(SIGPIPE, SIG_IGN);
	ERR(write(s[0], "x", 1), EPIPE);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
}

CASE(unix_write_to_closed_raises_sigpipe)
{
	int s[2];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(close(s[1]));
	CHILD(k) {
		write(s[0], "x", 1);
	}
	REAP_SIGNAL(k, SIGPIPE);
	CHILD(m) {
		ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	}
	REAP(m);
}

CASE(unix_unread_data_resets_peer)
{
	int s[2];
	char b;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(write(s[0], "x", 1), 1);
	OK(close(s[1])); // with data unread
	ERR(read(s[0], &b, 1), ECONNRESET);
	EQ(read(s[0], &b, 1), 0);
}

CASE(unix_dgram_boundaries)
{
	int s[2];
	char b[16];
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	EQ(send(s[0], "one", 3, 0), 3);
	EQ(send(s[0], "", 0, 0), 0);
	EQ(send(s[0], "three", 5, 0), 5);
	EQ(recv(s[1], b, 2, MSG_TRUNC), 3); // the true length
	EQ(recv(s[1], b, 16, 0), 0);
	struct iovec v = {b, 3};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	EQ(recvmsg(s[1], &m, 0), 3);
	EQ(m.msg_flags, MSG_TRUNC);
	ERR(recv(s[1], b, 16, MSG_DONTWAIT), EAGAIN);
}

CASE(unix_seqpacket)
{
	int s[2];
	char b[16];
	OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, s));
	EQ(send(s[0], "one", 3, 0), 3);
	EQ(send(s[0], "two", 3, 0), 3);
	EQ(recv(s[1], b, 16, 0), 3);
	EQ(recv(s[1], b, 16, 0), 3);
	OK(close(s[0]));
	EQ(recv(s[1], b, 16, 0), 0);
}

CASE(unix_listen_connect_accept)
{
	char b[16];
	struct sockaddr_un a;
	socklen_t n = sizeof a;
	int l = bound(SOCK_STREAM, "sock");
	struct stat st;
	OK(stat("sock", &st));
	CHECK(S_ISSOCK(st.st_mode));
	EQ(st.st_mode & 0777, 0755);
	OK(listen(l, 5));
	int c = connected(SOCK_STREAM, "sock");
	EQ(write(c, "early", 5), 5); // before it is accepted
	int s = OK(accept4(l, (void *)&a, &n, SOCK_CLOEXEC | SOCK_NONBLOCK));
	EQ(n, 2); // the client has no name
	EQ(fcntl(s, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(s, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	EQ(read(s, b, 16), 5);
	n = sizeof a;
	OK(getpeername(c, (void *)&a, &n));
	EQ(n, 2 + 5);
	STREQ(a.sun_path, "sock");
	n = sizeof a;
	OK(getsockname(s, (void *)&a, &n));
	STREQ(a.sun_path, "sock");
}

CASE(unix_connect_errors)
{
	struct sockaddr_un a;
	int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	socklen_t n = name(&a, "none");
	ERR(connect(s, (void *)&a, n), ENOENT);
	put_file("file", "");
	n = name(&a, "file");
	ERR(connect(s, (void *)&a, n), ECONNREFUSED);
	int l = bound(SOCK_STREAM, "sock");
	n = name(&a, "sock");
	ERR(connect(s, (void *)&a, n), ECONNREFUSED); // not listening
	OK(listen(l, 1));
	OK(connect(s, (void *)&a, n));
	ERR(connect(s, (void *)&a, n), EISCONN);
	int d = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	ERR(connect(d, (void *)&a, n), EPROTOTYPE);
	OK(close(l));
	int t = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	ERR(connect(t, (void *)&a, n), ECONNREFUSED); // the name stays, nobody is there
	a.sun_family = AF_INET;
	ERR(connect(t, (void *)&a, n), EINVAL);
	ERR(connect(t, (void *)&a, 1), EINVAL);
	ERR(connect(t, BAD_PTR, n), EFAULT);
	OK(chmod("sock", 0600));
	CHILD(k) {
		become_nobody();
		int u = OK(socket(AF_UNIX, SOCK_STREAM, 0));
		name(&a, "sock");
		ERR(connect(u, (void *)&a, n), EACCES);
	}
	REAP(k);
}

CASE(unix_bind_errors)
{
	struct sockaddr_un a;
	socklen_t n = name(&a, "sock");
	int s = bound(SOCK_STREAM, "sock"), t = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	ERR(bind(t, (void *)&a, n), EADDRINUSE);
	n = name(&a, "second");
	ERR(bind(s, (void *)&a, n), EINVAL);
	n = name(&a, "none/x");
	ERR(bind(t, (void *)&a, n), ENOENT);
	ERR(bind(t, (void *)&a, sizeof a + 10), EINVAL);
	OK(unlink("sock"));
	n = name(&a, "sock");
	OK(bind(t, (void *)&a, n));
}

CASE(unix_autobind)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t n = sizeof a;
	int s = OK(socket(AF_UNIX, SOCK_DGRAM, 0));
	OK(bind(s, (void *)&a, 2));
	OK(getsockname(s, (void *)&a, &n));
	EQ(n, 2 + 6);
	EQ(a.sun_path[0], 0);
	for (int i = 1; i < 6; i++)
		CHECK(strchr("0123456789abcdef", a.sun_path[i]));
}

CASE(unix_abstract_name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	socklen_t n = 2 + 1 + sprintf(a.sun_path + 1, "oracle-%d", getpid());
	int l = OK(socket(AF_UNIX, SOCK_STREAM, 0)), c = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(bind(l, (void *)&a, n));
	OK(listen(l, 1));
	ERR(connect(c, (void *)&a, n + 1), ECONNREFUSED); // another name: lengths count
	OK(connect(c, (void *)&a, n));
	struct sockaddr_un p;
	socklen_t pn = sizeof p;
	OK(getpeername(c, (void *)&p, &pn));
	EQ(pn, n);
	EQ(memcmp(&a, &p, n), 0);
	OK(close(l));
	int l2 = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(bind(l2, (void *)&a, n)); // free again at once
}

CASE(unix_accept_backlog)
{
	struct sockaddr_un a;
	int l = bound(SOCK_STREAM, "sock");
	socklen_t n = name(&a, "sock");
	OK(listen(l, 0));
	int c[4], ok = 0;
	for (int i = 0; i < 4; i++) {
		c[i] = OK(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0));
		if (connect(c[i], (void *)&a, n) == 0)
			ok++;
		else
			EQ(errno, EAGAIN);
	}
	EQ(ok, 1);
	ERR(accept(c[0], NULL, NULL), EINVAL);
	OK(accept(l, NULL, NULL));
	OK(fcntl(l, F_SETFL, O_NONBLOCK));
	ERR(accept(l, NULL, NULL), EAGAIN);
	struct pollfd p = {l, POLLIN, 0};
	EQ(poll(&p, 1, 0), 0);
	OK(connect(c[3], (void *)&a, n));
	EQ(poll(&p, 1, 0), 1);
}

CASE(unix_dgram_named)
{
	char b[16];
	struct sockaddr_un a, from;
	socklen_t n = name(&a, "server"), fn = sizeof from;
	int s = bound(SOCK_DGRAM, "server"), c = bound(SOCK_DGRAM, "client");
	EQ(sendto(c, "hi", 2, 0, (void *)&a, n), 2);
	EQ(recvfrom(s, b, 16, 0, (void *)&from, &fn), 2);
	STREQ(from.sun_path, "client");
	EQ(sendto(s, "yo", 2, 0, (void *)&from, fn), 2);
	EQ(recv(c, b, 16, 0), 2);
	ERR(send(c, "x", 1, 0), ENOTCONN);
	OK(connect(c, (void *)&a, n));
	EQ(send(c, "x", 1, 0), 1);
	OK(close(s));
	ERR(send(c, "x", 1, 0), ECONNREFUSED);
	struct sockaddr un = {.sa_family = AF_UNSPEC};
	OK(connect(c, &un, sizeof un));
	ERR(send(c, "x", 1, 0), ENOTCONN);
}

CASE(unix_dgram_too_large)
{
	int s[2];
	char *big = calloc(1, 1 << 20);
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	ERR(send(s[0], big, 1 << 20, 0), EMSGSIZE);
	EQ(send(s[0], big, 100000, 0), 100000);
	EQ(recv(s[1], big, 1 << 20, 0), 100000);
}

CASE(so_peercred)
{
	int s[2];
	struct ucred u;
	socklen_t n = sizeof u;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(getsockopt(s[0], SOL_SOCKET, SO_PEERCRED, &u, &n));
	EQ(u.pid, getpid());
	EQ(u.uid, 0);
	int l = bound(SOCK_STREAM, "sock");
	OK(chmod("sock", 0777));
	OK(listen(l, 5));
	CHILD(k) {
		become_nobody();
		int c = connected(SOCK_STREAM, "sock");
		OK(getsockopt(c, SOL_SOCKET, SO_PEERCRED, &u, &n));
		EQ(u.pid, getppid()); // who called listen
		EQ(u.uid, 0);
	}
	int a = OK(accept(l, NULL, NULL));
	OK(getsockopt(a, SOL_SOCKET, SO_PEERCRED, &u, &n));
	EQ(u.pid, k);
	EQ(u.uid, 65534);
	REAP(k);
}

CASE(unix_shutdown)
{
	int s[2];
	char b;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(write(s[0], "x", 1), 1);
	OK(shutdown(s[0], SHUT_WR));
	EQ(read(s[1], &b, 1), 1);
	EQ(read(s[1], &b, 1), 0);
	ERR(send(s[0], "x", 1, MSG_NOSIGNAL), EPIPE);
	EQ(write(s[1], "y", 1), 1); // the other direction is open
	EQ(read(s[0], &b, 1), 1);
	OK(shutdown(s[0], SHUT_RD));
	EQ(read(s[0], &b, 1), 0);
	ERR(send(s[1], "x", 1, MSG_NOSIGNAL), EPIPE);
	ERR(shutdown(s[0], 9), EINVAL);
	int u = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	OK(shutdown(u, SHUT_RDWR)); // not connected: no error, unlike TCP
}

CASE(unix_poll_events)
{
	int s[2];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	struct pollfd p = {s[0], POLLIN | POLLOUT | POLLRDHUP, 0};
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLOUT);
	EQ(write(s[1], "x", 1), 1);
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLIN | POLLOUT);
	OK(close(s[1]));
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	int u = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	p.fd = u;
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLOUT | POLLHUP);
}

CASE(unix_fionread_siocoutq)
{
	int s[2], n;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(write(s[0], "hello", 5), 5);
	EQ(write(s[0], "you", 3), 3);
	OK(ioctl(s[1], FIONREAD, &n));
	EQ(n, 8);
	int d[2];
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, d));
	EQ(write(d[0], "hello", 5), 5);
	EQ(write(d[0], "you", 3), 3);
	OK(ioctl(d[1], FIONREAD, &n));
	EQ(n, 5); // of the next datagram
}

CASE(unix_stream_buffer_fills)
{
	int s[2];
	char b[4096];
	memset(b, 1, sizeof b);
	OK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, s));
	long total = 0, n;
	while ((n = write(s[0], b, sizeof b)) > 0)
		total += n;
	EQ(errno, EAGAIN);
	CHECK(total >= 65536);
	struct pollfd p = {s[0], POLLOUT, 0};
	EQ(poll(&p, 1, 0), 0);
	while ((n = read(s[1], b, sizeof b)) > 0)
		total -= n;
	EQ(total, 0);
	EQ(poll(&p, 1, 0), 1);
}

CASE(unix_msg_waitall_and_peek)
{
	int s[2];
	char b[8] = "";
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	CHILD(k) {
		EQ(write(s[0], "ab", 2), 2);
		msleep(30);
		EQ(write(s[0], "cd", 2), 2);
	}
	EQ(recv(s[1], b, 4, MSG_WAITALL), 4);
	STREQ(b, "abcd");
	REAP(k);
	EQ(write(s[0], "xyz", 3), 3);
	EQ(recv(s[1], b, 8, MSG_PEEK), 3);
	EQ(recv(s[1], b, 8, 0), 3);
}

CASE(unix_recv_timeout)
{
	int s[2];
	char b;
	struct timeval tv = {0, 50000};
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	long long t = now_ms();
	ERR(read(s[0], &b, 1), EAGAIN);
	CHECK(now_ms() - t >= 45);
}

CASE(unix_blocking_recv_interrupted)
{
	int s[2];
	char b;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	start_ticks(0);
	ERR(read(s[0], &b, 1), EINTR);
	stop_ticks();
	CHILD(k) {
		msleep(100);
		EQ(write(s[1], "x", 1), 1);
	}
	start_ticks(SA_RESTART);
	EQ(read(s[0], &b, 1), 1);
	stop_ticks();
	REAP(k);
}

CASE(socket_creation_errors)
{
	int s[2];
	ERR(socket(AF_UNIX, 99, 0), EINVAL);
	ERR(socket(AF_UNIX, SOCK_STREAM, 99), EPROTONOSUPPORT);
	ERR(socket(999, SOCK_STREAM, 0), EAFNOSUPPORT);
	ERR(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP), EPROTONOSUPPORT);
	ERR(socketpair(AF_UNIX, SOCK_STREAM, 0, BAD_PTR), EFAULT);
	ERR(socketpair(AF_INET, SOCK_STREAM, 0, s), EOPNOTSUPP);
	ERR(listen(0, 1), ENOTSOCK);
	ERR(send(999, "x", 1, 0), EBADF);
	put_file("f", "");
	int fd = OK(open("f", O_RDWR));
	ERR(send(fd, "x", 1, 0), ENOTSOCK);
	ERR(getsockopt(fd, SOL_SOCKET, SO_TYPE, s, (socklen_t[]){4}), ENOTSOCK);
}

CASE(sendmmsg_recvmmsg)
{
	int s[2];
	char b[3][8];
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	struct iovec sv[3] = {{"one", 3}, {"two", 3}, {"three", 5}}, rv[3];
	struct mmsghdr sm[3] = {0}, rm[3] = {0};
	for (int i = 0; i < 3; i++) {
		sm[i].msg_hdr.msg_iov = &sv[i];
		sm[i].msg_hdr.msg_iovlen = 1;
		rv[i] = (struct iovec){b[i], 8};
		rm[i].msg_hdr.msg_iov = &rv[i];
		rm[i].msg_hdr.msg_iovlen = 1;
	}
	EQ(sendmmsg(s[0], sm, 3, 0), 3);
	EQ(sm[2].msg_len, 5);
	EQ(recvmmsg(s[1], rm, 3, MSG_DONTWAIT, NULL), 3);
	EQ(rm[0].msg_len, 3);
	EQ(rm[2].msg_len, 5);
	EQ(memcmp(b[2], "three", 5), 0);
	ERR(recvmmsg(s[1], rm, 3, MSG_DONTWAIT, NULL), EAGAIN);
}
