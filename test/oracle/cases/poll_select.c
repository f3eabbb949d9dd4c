// poll(2), ppoll(2), select(2), pselect(2).
#include "oracle.h"
#include <sys/select.h>

CASE(poll_invalid_descriptors)
{
	struct pollfd f[3] = {{999, POLLIN, 0}, {-1, POLLIN, 55}, {-999, POLLIN, 55}};
	EQ(poll(f, 3, 0), 1);
	EQ(f[0].revents, POLLNVAL);
	EQ(f[1].revents, 0); // negative ones are ignored
	EQ(f[2].revents, 0);
	ERR(poll(BAD_PTR, 1, 0), EFAULT);
	EQ(poll(NULL, 0, 0), 0);
	EQ(poll(NULL, 0, 10), 0);
}

CASE(poll_regular_file_always_ready)
{
	put_file("f", "x");
	struct pollfd f = {OK(open("f", O_RDWR)), POLLIN | POLLOUT | POLLPRI, 0};
	EQ(poll(&f, 1, -1), 1);
	EQ(f.revents, POLLIN | POLLOUT);
	struct pollfd d = {OK(open(".", O_RDONLY)), POLLIN | POLLOUT, 0};
	EQ(poll(&d, 1, -1), 1);
	EQ(d.revents, POLLIN | POLLOUT);
}

CASE(poll_timeout)
{
	int p[2];
	OK(pipe(p));
	struct pollfd f = {p[0], POLLIN, 0};
	long long t = now_ms();
	EQ(poll(&f, 1, 40), 0);
	CHECK(now_ms() - t >= 39);
	EQ(poll(&f, 1, 0), 0);
}

CASE(poll_wakes_on_data)
{
	int p[2];
	OK(pipe(p));
	CHILD(k) {
		msleep(40);
		EQ(write(p[1], "x", 1), 1);
	}
	struct pollfd f = {p[0], POLLIN, 0};
	EQ(poll(&f, 1, -1), 1);
	EQ(f.revents, POLLIN);
	REAP(k);
}

CASE(poll_wakes_on_close_of_writer)
{
	int p[2];
	OK(pipe(p));
	CHILD(k) {
		msleep(40);
	}
	OK(close(p[1]));
	struct pollfd f = {p[0], POLLIN, 0};
	EQ(poll(&f, 1, -1), 1);
	EQ(f.revents, POLLHUP);
	REAP(k);
}

CASE(poll_too_many)
{
	struct pollfd *f = calloc(30000, sizeof *f);
	for (int i = 0; i < 30000; i++)
		f[i].fd = -1;
	ERR(poll(f, 30000, 0), EINVAL); // above RLIMIT_NOFILE
	EQ(poll(f, 500, 0), 0);
}

CASE(poll_never_restarted)
{
	start_ticks(SA_RESTART);
	ERR(poll(NULL, 0, -1), EINTR);
	stop_ticks();
}

static void on_signal(int s)
{
	(void)s;
}

CASE(ppoll_mask_and_timeout)
{
	sigset_t block, none, now;
	struct timespec zero = {0, 0}, bad = {-1, 0}, bad2 = {0, 1000000000}, ts = {5, 0};
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	set_handler(SIGUSR1, on_signal, 0);
	OK(sigprocmask(SIG_BLOCK, &block, NULL));
	OK(raise(SIGUSR1));
	EQ(ppoll(NULL, 0, &zero, NULL), 0);
	ERR(ppoll(NULL, 0, &ts, &none), EINTR);
	OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1));
	ERR(ppoll(NULL, 0, &bad, NULL), EINVAL);
	ERR(ppoll(NULL, 0, &bad2, NULL), EINVAL);
	ERR(syscall(SYS_ppoll, NULL, 0, &zero, &none, 4), EINVAL);
}

CASE(ppoll_writes_remaining_time)
{
	int p[2];
	OK(pipe(p));
	EQ(write(p[1], "x", 1), 1);
	struct pollfd f = {p[0], POLLIN, 0};
	struct timespec ts = {100, 0};
	EQ(syscall(SYS_ppoll, &f, 1, &ts, NULL, 8), 1);
	CHECK(ts.tv_sec < 100 || ts.tv_nsec == 0);
	CHECK(ts.tv_sec >= 80);
}

CASE(select_sets)
{
	int p[2], q[2];
	fd_set r, w;
	OK(pipe(p));
	OK(pipe(q));
	EQ(write(p[1], "x", 1), 1);
	FD_ZERO(&r);
	FD_ZERO(&w);
	FD_SET(p[0], &r);
	FD_SET(q[0], &r);
	FD_SET(q[1], &w);
	struct timeval tv = {0, 0};
	EQ(select(q[1] + 1, &r, &w, NULL, &tv), 2);
	CHECK(FD_ISSET(p[0], &r));
	CHECK(!FD_ISSET(q[0], &r));
	CHECK(FD_ISSET(q[1], &w));
}

CASE(select_errors)
{
	fd_set r;
	struct timeval tv = {0, 0}, bad = {-1, 0};
	FD_ZERO(&r);
	FD_SET(150, &r);
	ERR(select(151, &r, NULL, NULL, &tv), EBADF);
	EQ(select(150, &r, NULL, NULL, &tv), 0);
	ERR(select(-1, NULL, NULL, NULL, &tv), EINVAL);
	ERR(select(0, NULL, NULL, NULL, &bad), EINVAL);
	ERR(syscall(SYS_select, 1, BAD_PTR, NULL, NULL, &tv), EFAULT);
}

CASE(select_timeout_updates)
{
	struct timeval tv = {0, 40000};
	long long t = now_ms();
	EQ(syscall(SYS_select, 0, NULL, NULL, NULL, &tv), 0);
	CHECK(now_ms() - t >= 39);
	EQ(tv.tv_sec, 0);
	EQ(tv.tv_usec, 0);
	int p[2];
	OK(pipe(p));
	fd_set w;
	FD_ZERO(&w);
	FD_SET(p[1], &w);
	tv.tv_sec = 50;
	EQ(syscall(SYS_select, p[1] + 1, NULL, &w, NULL, &tv), 1);
	CHECK(tv.tv_sec >= 30 && tv.tv_sec <= 50);
}

CASE(select_closed_writer_is_readable)
{
	int p[2];
	fd_set r, x;
	OK(pipe(p));
	OK(close(p[1]));
	FD_ZERO(&r);
	FD_SET(p[0], &r);
	x = r;
	struct timeval tv = {0, 0};
	EQ(select(p[0] + 1, &r, NULL, &x, &tv), 1);
	CHECK(FD_ISSET(p[0], &r));
	CHECK(!FD_ISSET(p[0], &x));
}

CASE(select_interrupted)
{
	start_ticks(SA_RESTART);
	ERR(select(0, NULL, NULL, NULL, NULL), EINTR);
	stop_ticks();
}

CASE(pselect_mask)
{
	sigset_t block, none;
	struct timespec zero = {0, 0}, ts = {5, 0};
	sigemptyset(&none);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	set_handler(SIGUSR1, on_signal, 0);
	OK(sigprocmask(SIG_BLOCK, &block, NULL));
	OK(raise(SIGUSR1));
	EQ(pselect(0, NULL, NULL, NULL, &zero, NULL), 0);
	ERR(pselect(0, NULL, NULL, NULL, &ts, &none), EINTR);
	sigset_t pend;
	OK(sigpending(&pend));
	CHECK(!sigismember(&pend, SIGUSR1));
}
