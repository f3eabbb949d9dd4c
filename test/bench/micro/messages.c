// Pipes and sockets between two processes.
#include "micro.h"
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static char chunk[1 << 20];

// Starts a process that sends every byte back that comes from in.
static pid_t echo(int in, int out)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child)
		return child;
	char c;
	while (read(in, &c, 1) == 1 && write(out, &c, 1) == 1)
		;
	_exit(0);
}

static void turns(int in, int out, long n)
{
	char c = 1;
	start();
	while (n--) {
		CHECK(write(out, &c, 1) == 1);
		CHECK(read(in, &c, 1) == 1);
	}
	stop();
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void pipe_turns(long n)
{
	int there[2], back[2];
	CHECK(!pipe(there) && !pipe(back));
	pid_t child = echo(there[0], back[1]);
	turns(back[0], there[1], n);
	end(child);
	for (int i = 0; i < 2; i++)
		close(there[i]), close(back[i]);
}

static void unix_turns(long n)
{
	int s[2];
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	pid_t child = echo(s[1], s[1]);
	turns(s[0], s[0], n);
	end(child);
	close(s[0]), close(s[1]);
}

static int listener(struct sockaddr_in *a)
{
	socklen_t size = sizeof *a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	memset(a, 0, sizeof *a);
	a->sin_family = AF_INET;
	a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(fd >= 0 && !bind(fd, (struct sockaddr *)a, sizeof *a) && !listen(fd, 64));
	CHECK(!getsockname(fd, (struct sockaddr *)a, &size));
	return fd;
}

static int connected(const struct sockaddr_in *a)
{
	int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(fd >= 0 && !connect(fd, (const struct sockaddr *)a, sizeof *a));
	CHECK(!setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	return fd;
}

static void tcp_turns(long n)
{
	struct sockaddr_in a;
	int one = 1, l = listener(&a), c = connected(&a), s = accept(l, NULL, NULL);
	CHECK(s >= 0 && !setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	pid_t child = echo(s, s);
	turns(c, c, n);
	end(child);
	close(l), close(c), close(s);
}

static void udp_turns(long n)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof a;
	int s[2];
	for (int i = 0; i < 2; i++) {
		s[i] = socket(AF_INET, SOCK_DGRAM, 0);
		a.sin_port = 0;
		CHECK(s[i] >= 0 && !bind(s[i], (struct sockaddr *)&a, sizeof a));
	}
	for (int i = 0; i < 2; i++)
		CHECK(!getsockname(s[i], (struct sockaddr *)&a, &size) && !connect(s[!i], (struct sockaddr *)&a, size));
	pid_t child = echo(s[1], s[1]);
	turns(s[0], s[0], n);
	end(child);
	close(s[0]), close(s[1]);
}

static void tcp_connect(long n)
{
	struct sockaddr_in a;
	int l = listener(&a);
	start();
	while (n--) {
		int c = connected(&a), s = accept(l, NULL, NULL);
		CHECK(s >= 0);
		close(c);
		close(s);
	}
	stop();
	close(l);
}

// Sends n times 1 MiB through out to a process that reads it from in.
static void stream(int in, int out, long n)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (!child) {
		close(out);
		for (ssize_t left = n << 20, r; left > 0 && (r = read(in, chunk, sizeof chunk)) > 0; left -= r)
			;
		_exit(0);
	}
	start();
	while (n--)
		for (size_t done = 0; done < sizeof chunk;) {
			ssize_t w = write(out, chunk + done, sizeof chunk - done);
			CHECK(w > 0);
			done += w;
		}
	waitpid(child, NULL, 0);
	stop();
}

static void pipe_1m(long n)
{
	int p[2];
	CHECK(!pipe(p));
	stream(p[0], p[1], n);
	close(p[0]), close(p[1]);
}

static void unix_1m(long n)
{
	int s[2];
	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	stream(s[0], s[1], n);
	close(s[0]), close(s[1]);
}

static void tcp_1m(long n)
{
	struct sockaddr_in a;
	int l = listener(&a), c = connected(&a), s = accept(l, NULL, NULL);
	CHECK(s >= 0);
	stream(s, c, n);
	close(l), close(c), close(s);
}

const struct measurement messages[] = {
	{ "pipe_turns", pipe_turns },
	{ "unix_turns", unix_turns },
	{ "tcp_turns", tcp_turns },
	{ "udp_turns", udp_turns },
	{ "tcp_connect", tcp_connect },
	{ "pipe_1m", pipe_1m },
	{ "unix_1m", unix_1m },
	{ "tcp_1m", tcp_1m },
	{ NULL, NULL },
};
