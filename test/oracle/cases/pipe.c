// pipe(2), fifo(7), splice(2), tee(2), vmsplice(2).
#include "oracle.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/timerfd.h>

CASE(pipe_round_trip)
{
	int p[2];
	char b[16] = "";
	OK(pipe(p));
	EQ(write(p[1], "hello", 5), 5);
	EQ(write(p[1], "world", 5), 5);
	EQ(read(p[0], b, 3), 3);
	EQ(read(p[0], b + 3, 16), 7);
	STREQ(b, "helloworld");
	ERR(read(p[1], b, 1), EBADF);
	ERR(write(p[0], b, 1), EBADF);
}

CASE(pipe2_flags)
{
	int p[2];
	OK(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	EQ(fcntl(p[0], F_GETFL), O_RDONLY | O_NONBLOCK);
	EQ(fcntl(p[1], F_GETFL), O_WRONLY | O_NONBLOCK);
	ERR(pipe2(p, O_CREAT), EINVAL);
	ERR(syscall(SYS_pipe2, BAD_PTR, 0), EFAULT);
	char b;
	ERR(read(p[0], &b, 1), EAGAIN);
}

CASE(pipe_end_of_file)
{
	int p[2];
	char b[4];
	OK(pipe(p));
	int d = OK(dup(p[1]));
	EQ(write(p[1], "x", 1), 1);
	OK(close(p[1]));
	EQ(read(p[0], b, 4), 1);
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	ERR(read(p[0], b, 4), EAGAIN); // the duplicate still writes
	OK(close(d));
	EQ(read(p[0], b, 4), 0);
	EQ(read(p[0], b, 4), 0);
}

static volatile sig_atomic_t got_signal;
static void on_signal(int s)
{
	got_signal = s;
}

CASE(pipe_broken)
{
	int p[2];
	OK(pipe(p));
	OK(close(p[0]));
	set_handler(SIGPIPE, on_signal, 0);
	ERR(write(p[1], "x", 1), EPIPE);
	EQ(got_signal, SIGPIPE);
	signal(SIGPIPE, SIG_IGN);
	ERR(write(p[1], "x", 1), EPIPE);
	CHILD(k) {
		signal(SIGPIPE, SIG_DFL);
		write(p[1], "x", 1);
	}
	REAP_SIGNAL(k, SIGPIPE);
}

CASE(pipe_capacity)
{
	int p[2];
	char b[4096];
	OK(pipe2(p, O_NONBLOCK));
	EQ(fcntl(p[1], F_GETPIPE_SZ), 65536);
	memset(b, 'x', sizeof b);
	int total = 0, n;
	while ((n = write(p[1], b, sizeof b)) > 0)
		total += n;
	EQ(errno, EAGAIN);
	EQ(total, 65536);
	EQ(fcntl(p[1], F_SETPIPE_SZ, 4096 * 32), 4096 * 32);
	EQ(write(p[1], b, 4096), 4096);
	ERR(fcntl(p[1], F_SETPIPE_SZ, 4096), EBUSY);
	int q[2];
	OK(pipe(q));
	EQ(fcntl(q[0], F_SETPIPE_SZ, 1), 4096);
	EQ(fcntl(q[0], F_SETPIPE_SZ, 5000), 8192);
	int s = OK(socket(AF_UNIX, SOCK_STREAM, 0));
	ERR(fcntl(s, F_GETPIPE_SZ), EBADF);
}

CASE(pipe_atomic_nonblocking_write)
{
	int p[2];
	char b[8192];
	OK(pipe2(p, O_NONBLOCK));
	memset(b, 'x', sizeof b);
	while (write(p[1], b, 4096) > 0)
		;
	EQ(read(p[0], b, 4095), 4095);
	ERR(write(p[1], b, 4096), EAGAIN); // up to PIPE_BUF it is all or nothing
	EQ(read(p[0], b, 1), 1);
	EQ(write(p[1], b, 8192), 4096);
}

CASE(pipe_blocking_write_completes)
{
	int p[2];
	OK(pipe(p));
	size_t n = 300000;
	char *m = malloc(n);
	memset(m, 'y', n);
	CHILD(k) {
		OK(close(p[0]));
		EQ(write(p[1], m, n), n);
	}
	OK(close(p[1]));
	size_t total = 0;
	int r;
	while ((r = OK(read(p[0], m, 7777))) > 0)
		total += r;
	EQ(total, n);
	REAP(k);
}

CASE(pipe_read_blocks_until_data)
{
	int p[2], q[2];
	char b[4];
	OK(pipe(p));
	OK(pipe(q));
	CHILD(k) {
		EQ(read(p[0], b, 1), 1);
		EQ(write(q[1], b, 1), 1);
	}
	msleep(20);
	EQ(write(p[1], "z", 1), 1);
	EQ(read(q[0], b, 1), 1);
	EQ(b[0], 'z');
	REAP(k);
}

CASE(pipe_interrupted_read)
{
	int p[2];
	char b;
	OK(pipe(p));
	start_ticks(0);
	ERR(read(p[0], &b, 1), EINTR);
	stop_ticks();
	CHECK(ticks > 0);
}

CASE(pipe_restarted_read)
{
	int p[2];
	char b;
	OK(pipe(p));
	CHILD(k) {
		msleep(200);
		EQ(write(p[1], "x", 1), 1);
	}
	start_ticks(SA_RESTART);
	EQ(read(p[0], &b, 1), 1);
	stop_ticks();
	CHECK(ticks > 0);
	REAP(k);
}

CASE(pipe_partial_write_interrupted)
{
	int p[2];
	char b[100000];
	memset(b, 0, sizeof b);
	OK(pipe(p));
	start_ticks(0);
	EQ(write(p[1], b, sizeof b), 65536);
	ERR(write(p[1], b, 1), EINTR);
	stop_ticks();
}

CASE(pipe_fionread)
{
	int p[2], n = -1;
	OK(pipe(p));
	OK(ioctl(p[0], FIONREAD, &n));
	EQ(n, 0);
	EQ(write(p[1], "abcd", 4), 4);
	OK(ioctl(p[0], FIONREAD, &n));
	EQ(n, 4);
	ERR(ioctl(p[0], TCGETS, &n), ENOTTY);
	n = 1;
	OK(ioctl(p[0], FIONBIO, &n));
	EQ(fcntl(p[0], F_GETFL) & O_NONBLOCK, O_NONBLOCK);
	OK(ioctl(p[0], FIOCLEX));
	EQ(fcntl(p[0], F_GETFD), FD_CLOEXEC);
	OK(ioctl(p[0], FIONCLEX));
	EQ(fcntl(p[0], F_GETFD), 0);
}

CASE(pipe_packet_mode)
{
	int p[2];
	char b[16];
	OK(pipe2(p, O_DIRECT));
	EQ(write(p[1], "abc", 3), 3);
	EQ(write(p[1], "defg", 4), 4);
	EQ(read(p[0], b, 2), 2); // the rest of the packet is lost
	EQ(read(p[0], b, 16), 4);
}

CASE(pipe_poll_events)
{
	int p[2];
	OK(pipe(p));
	struct pollfd f[2] = {{p[0], POLLIN, 0}, {p[1], POLLOUT, 0}};
	EQ(poll(f, 2, 0), 1);
	EQ(f[0].revents, 0);
	EQ(f[1].revents, POLLOUT);
	EQ(write(p[1], "x", 1), 1);
	EQ(poll(f, 2, 0), 2);
	EQ(f[0].revents, POLLIN);
	OK(close(p[1]));
	EQ(poll(f, 1, 0), 1);
	EQ(f[0].revents, POLLIN | POLLHUP);
	char b;
	EQ(read(p[0], &b, 1), 1);
	EQ(poll(f, 1, 0), 1);
	EQ(f[0].revents, POLLHUP);
	OK(pipe(p));
	OK(close(p[0]));
	f[1].fd = p[1];
	EQ(poll(f + 1, 1, 0), 1);
	EQ(f[1].revents, POLLOUT | POLLERR);
}

CASE(splice_pipe_and_file)
{
	int p[2];
	char b[16] = "";
	put_file("in", "0123456789");
	int in = OK(open("in", O_RDONLY)), out = OK(open("out", O_CREAT | O_RDWR, 0600));
	OK(pipe(p));
	loff_t off = 2;
	EQ(splice(in, &off, p[1], NULL, 5, 0), 5);
	EQ(off, 7);
	EQ(splice(p[0], NULL, out, NULL, 100, 0), 5);
	EQ(pread(out, b, 16, 0), 5);
	STREQ(b, "23456");
	ERR(splice(in, NULL, out, NULL, 1, 0), EINVAL);
	ERR(splice(in, NULL, p[1], &off, 1, 0), ESPIPE);
	ERR(splice(999, NULL, p[1], NULL, 1, 0), EBADF);
	ERR(splice(p[0], NULL, p[1], NULL, 1, 0), EINVAL);
	ERR(splice(p[0], NULL, out, NULL, 1, SPLICE_F_NONBLOCK), EAGAIN);
	EQ(splice(in, NULL, p[1], NULL, 0, 0), 0);
}

// There is nothing to wait for at a file that data cannot be moved from or to.
CASE(splice_and_other_files)
{
	int p[2], none[] = {OK(eventfd(1, 0)), OK(epoll_create1(0)), OK(timerfd_create(CLOCK_MONOTONIC, 0)), OK(inotify_init())};
	OK(pipe(p));
	ERR(splice(OK(open(".", O_RDONLY)), NULL, p[1], NULL, 1, 0), EINVAL);
	for (int i = 0; i < 4; i++) {
		ERR(splice(none[i], NULL, p[1], NULL, 8, 0), EINVAL);
		ERR(splice(p[0], NULL, none[i], NULL, 8, 0), i < 3 ? EINVAL : EBADF);
	}
}

CASE(tee_duplicates)
{
	int p[2], q[2];
	char b[16] = "";
	OK(pipe(p));
	OK(pipe(q));
	EQ(write(p[1], "abc", 3), 3);
	EQ(tee(p[0], q[1], 100, 0), 3);
	EQ(read(q[0], b, 16), 3);
	EQ(read(p[0], b, 16), 3);
	STREQ(b, "abc");
	ERR(tee(p[0], q[1], 1, SPLICE_F_NONBLOCK), EAGAIN);
	int f = OK(open("f", O_CREAT | O_RDWR, 0600));
	ERR(tee(f, q[1], 1, 0), EINVAL);
}

CASE(vmsplice_to_pipe)
{
	int p[2];
	char b[16] = "";
	OK(pipe(p));
	struct iovec v[2] = {{"abc", 3}, {"de", 2}};
	EQ(vmsplice(p[1], v, 2, 0), 5);
	EQ(read(p[0], b, 16), 5);
	STREQ(b, "abcde");
	ERR(vmsplice(999, v, 2, 0), EBADF);
}

CASE(pipe_writev_readv)
{
	int p[2];
	char a[2], b[8];
	OK(pipe(p));
	struct iovec w[2] = {{"ab", 2}, {"cdef", 4}}, r[2] = {{a, 2}, {b, 8}};
	EQ(writev(p[1], w, 2), 6);
	EQ(readv(p[0], r, 2), 6);
	EQ(memcmp(b, "cdef", 4), 0);
}

CASE(pipe_many_writers_atomic)
{
	int p[2];
	OK(pipe(p));
	for (int i = 0; i < 4; i++) {
		CHILD(k) {
			char b[100];
			memset(b, 'a' + i, 100);
			for (int j = 0; j < 50; j++)
				EQ(write(p[1], b, 100), 100);
		}
	}
	OK(close(p[1]));
	char b[100];
	int count[4] = {0}, n = 0, r;
	for (;;) {
		for (n = 0; n < 100; n += r)
			if ((r = OK(read(p[0], b + n, 100 - n))) == 0)
				break;
		if (n == 0)
			break;
		EQ(n, 100);
		for (int i = 1; i < 100; i++)
			EQ(b[i], b[0]);
		count[b[0] - 'a']++;
	}
	for (int i = 0; i < 4; i++)
		EQ(count[i], 50);
}
