// timerfd_create(2), timerfd_settime(2), timerfd_gettime(2).
#include "oracle.h"
#include <sys/timerfd.h>

CASE(timerfd_one_shot)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));
	struct itimerspec it = {{0, 0}, {0, 30000000}}, got;
	long long t = now_ms();
	OK(timerfd_settime(fd, 0, &it, NULL));
	EQ(read(fd, &n, 8), 8);
	EQ(n, 1);
	CHECK(now_ms() - t >= 29);
	OK(timerfd_gettime(fd, &got));
	EQ(got.it_value.tv_sec, 0);
	EQ(got.it_value.tv_nsec, 0);
}

CASE(timerfd_interval_counts)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	struct itimerspec it = {{0, 10000000}, {0, 10000000}};
	OK(timerfd_settime(fd, 0, &it, NULL));
	ERR(read(fd, &n, 7), EINVAL);
	msleep(100);
	EQ(read(fd, &n, 8), 8);
	CHECK(n >= 9);
	msleep(15);
	EQ(read(fd, &n, 8), 8);
	CHECK(n >= 1);
}

CASE(timerfd_disarmed)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ERR(read(fd, &n, 8), EAGAIN);
	struct itimerspec it = {{0, 0}, {100, 0}}, zero = {{0, 0}, {0, 0}}, old;
	OK(timerfd_settime(fd, 0, &it, NULL));
	OK(timerfd_gettime(fd, &old));
	CHECK(old.it_value.tv_sec >= 50 && old.it_value.tv_sec <= 100);
	OK(timerfd_settime(fd, 0, &zero, &old));
	CHECK(old.it_value.tv_sec >= 50);
	OK(timerfd_gettime(fd, &old));
	EQ(old.it_value.tv_sec, 0);
	struct pollfd p = {fd, POLLIN, 0};
	EQ(poll(&p, 1, 10), 0);
}

CASE(timerfd_absolute)
{
	uint64_t n;
	struct timespec now;
	int fd = OK(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
	OK(clock_gettime(CLOCK_REALTIME, &now));
	struct itimerspec it = {{0, 0}, {now.tv_sec - 10, 0}};
	OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &it, NULL));
	struct pollfd p = {fd, POLLIN, 0};
	EQ(poll(&p, 1, 5000), 1);
	EQ(read(fd, &n, 8), 8);
	EQ(n, 1);
	struct itimerspec per = {{1, 0}, {now.tv_sec - 100, now.tv_nsec}};
	OK(timerfd_settime(fd, TFD_TIMER_ABSTIME, &per, NULL));
	EQ(poll(&p, 1, 5000), 1);
	EQ(read(fd, &n, 8), 8);
	CHECK(n >= 100 && n <= 130); // periods missed count
}

CASE(timerfd_errors)
{
	struct itimerspec it = {{0, 0}, {0, 1000000000}}, ok = {{0, 0}, {1, 0}};
	ERR(timerfd_create(77, 0), EINVAL);
	ERR(timerfd_create(CLOCK_MONOTONIC, 1), EINVAL);
	int fd = OK(timerfd_create(CLOCK_BOOTTIME, 0)), p[2];
	ERR(timerfd_settime(fd, 0, &it, NULL), EINVAL);
	ERR(timerfd_settime(fd, 0x100, &ok, NULL), EINVAL);
	ERR(timerfd_settime(999, 0, &ok, NULL), EBADF);
	OK(pipe(p));
	ERR(timerfd_settime(p[0], 0, &ok, NULL), EINVAL);
	ERR(timerfd_gettime(p[0], &it), EINVAL);
	ERR(timerfd_settime(fd, 0, BAD_PTR, NULL), EFAULT);
	ERR(write(fd, &it, 8), EINVAL);
}

CASE(timerfd_settime_clears_expirations)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
	struct itimerspec it = {{0, 0}, {0, 1}}, later = {{0, 0}, {100, 0}};
	OK(timerfd_settime(fd, 0, &it, NULL));
	struct pollfd p = {fd, POLLIN, 0};
	EQ(poll(&p, 1, 5000), 1);
	OK(timerfd_settime(fd, 0, &later, NULL));
	ERR(read(fd, &n, 8), EAGAIN);
}

CASE(timerfd_survives_fork)
{
	uint64_t n;
	int fd = OK(timerfd_create(CLOCK_MONOTONIC, 0));
	struct itimerspec it = {{0, 0}, {0, 50000000}};
	OK(timerfd_settime(fd, 0, &it, NULL));
	CHILD(k) {
		EQ(read(fd, &n, 8), 8);
		EQ(n, 1);
	}
	REAP(k);
}
