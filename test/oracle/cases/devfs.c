// /dev: null, zero, full, random, urandom, tty, fd links.
#include "oracle.h"
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/sysmacros.h>
#include <linux/random.h>

CASE(dev_null)
{
	char b[4];
	int fd = OK(open("/dev/null", O_RDWR));
	EQ(read(fd, b, 4), 0);
	EQ(write(fd, b, 4), 4);
	EQ(write(fd, BAD_PTR, 4), 4); // not even looked at
	EQ(lseek(fd, 100, SEEK_SET), 0);
	ERR(ftruncate(fd, 0), EINVAL);
	OK(close(OK(open("/dev/null", O_WRONLY | O_TRUNC | O_CREAT | O_APPEND, 0600))));
	struct pollfd p = {fd, POLLIN | POLLOUT, 0};
	EQ(poll(&p, 1, 0), 1);
	EQ(p.revents, POLLIN | POLLOUT);
}

CASE(dev_zero)
{
	char b[100000];
	int fd = OK(open("/dev/zero", O_RDWR));
	memset(b, 1, sizeof b);
	EQ(read(fd, b, sizeof b), sizeof b);
	for (unsigned i = 0; i < sizeof b; i++)
		EQ(b[i], 0);
	EQ(write(fd, b, 10), 10);
	ERR(read(fd, BAD_PTR, 10), EFAULT);
	EQ(pread(fd, b, 10, 1000), 10);
}

CASE(dev_full)
{
	char b[4] = "abc";
	int fd = OK(open("/dev/full", O_RDWR));
	ERR(write(fd, b, 4), ENOSPC);
	EQ(read(fd, b, 4), 4);
	EQ(b[0], 0);
}

CASE(dev_random)
{
	unsigned char a[32], b[32];
	int fd = OK(open("/dev/urandom", O_RDONLY)), r = OK(open("/dev/random", O_RDONLY)), bits = -1;
	EQ(read(fd, a, 32), 32);
	EQ(read(fd, b, 32), 32);
	CHECK(memcmp(a, b, 32));
	EQ(read(r, a, 32), 32);
	CHECK(memcmp(a, b, 32));
	OK(ioctl(fd, RNDGETENTCNT, &bits));
	CHECK(bits > 0);
}

CASE(getrandom_calls)
{
	unsigned char a[256], b[256];
	EQ(syscall(SYS_getrandom, a, 256, 0), 256);
	EQ(syscall(SYS_getrandom, b, 256, GRND_RANDOM), 256);
	CHECK(memcmp(a, b, 256));
	EQ(syscall(SYS_getrandom, a, 0, 0), 0);
	EQ(syscall(SYS_getrandom, a, 16, GRND_NONBLOCK), 16);
	ERR(syscall(SYS_getrandom, a, 16, 0x100), EINVAL);
	ERR(syscall(SYS_getrandom, BAD_PTR, 16, 0), EFAULT);
	ERR(syscall(SYS_getrandom, a, 16, GRND_RANDOM | 4), EINVAL); // with GRND_INSECURE
}

CASE(dev_numbers_and_modes)
{
	struct { const char *n; int maj, min; } d[] = {{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7},
						       {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};
	char path[32];
	for (int i = 0; i < 6; i++) {
		struct stat st;
		sprintf(path, "/dev/%s", d[i].n);
		OK(stat(path, &st));
		EQ(st.st_mode, S_IFCHR | 0666);
		EQ(major(st.st_rdev), d[i].maj);
		EQ(minor(st.st_rdev), d[i].min);
	}
}

CASE(dev_fd_links)
{
	char l[64] = "";
	OK(readlink("/dev/fd", l, 63));
	STREQ(l, "/proc/self/fd");
	int p[2];
	char b;
	OK(pipe(p));
	OK(dup2(p[0], 0));
	EQ(write(p[1], "i", 1), 1);
	int fd = OK(open("/dev/stdin", O_RDONLY));
	EQ(read(fd, &b, 1), 1);
}

CASE(dev_tty_without_terminal)
{
	ERR(open("/dev/tty", O_RDWR), ENXIO);
}

CASE(dev_shm_is_sticky_tmpfs)
{
	struct stat st;
	OK(stat("/dev/shm", &st));
	EQ(st.st_mode & 07777, 01777);
}

CASE(dev_null_from_mknod)
{
	OK(mknod("mynull", S_IFCHR | 0666, makedev(1, 3)));
	struct stat st;
	OK(stat("mynull", &st));
	CHECK(S_ISCHR(st.st_mode));
	EQ(major(st.st_rdev), 1);
	EQ(minor(st.st_rdev), 3);
}
