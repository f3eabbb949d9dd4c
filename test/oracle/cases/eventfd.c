// eventfd(2).
#include "oracle.h"
#include <sys/eventfd.h>

CASE(eventfd_counter)
{
	uint64_t v = 5;
	int fd = OK(eventfd(3, EFD_NONBLOCK));
	EQ(write(fd, &v, 8), 8);
	EQ(read(fd, &v, 8), 8);
	EQ(v, 8);
	ERR(read(fd, &v, 8), EAGAIN);
	ERR(read(fd, &v, 7), EINVAL);
	ERR(write(fd, &v, 7), EINVAL);
	v = UINT64_MAX;
	ERR(write(fd, &v, 8), EINVAL);
	v = 0;
	EQ(write(fd, &v, 8), 8);
	ERR(read(fd, &v, 8), EAGAIN);
}

CASE(eventfd_overflow)
{
	uint64_t v = UINT64_MAX - 1;
	int fd = OK(eventfd(0, EFD_NONBLOCK));
	EQ(write(fd, &v, 8), 8);
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLIN);
	v = 1;
	ERR(write(fd, &v, 8), EAGAIN);
	EQ(read(fd, &v, 8), 8);
	EQ(v, UINT64_MAX - 1);
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLOUT);
}

CASE(eventfd_semaphore)
{
	uint64_t v;
	int fd = OK(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	for (int i = 0; i < 2; i++) {
		EQ(read(fd, &v, 8), 8);
		EQ(v, 1);
	}
	ERR(read(fd, &v, 8), EAGAIN);
	ERR(eventfd(0, 0x10), EINVAL);
}

CASE(eventfd_blocks)
{
	uint64_t v = 9;
	int fd = OK(eventfd(0, 0));
	CHILD(k) {
		msleep(40);
		EQ(write(fd, &v, 8), 8);
	}
	v = 0;
	EQ(read(fd, &v, 8), 8);
	EQ(v, 9);
	REAP(k);
	start_ticks(0);
	ERR(read(fd, &v, 8), EINTR);
	stop_ticks();
}

CASE(eventfd_bad_calls)
{
	uint64_t v;
	int fd = OK(eventfd(1, 0));
	ERR(pread(fd, &v, 8, 0), ESPIPE);
	ERR(read(fd, BAD_PTR, 8), EFAULT);
	ERR(ftruncate(fd, 0), EINVAL);
}
