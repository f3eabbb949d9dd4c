// flock(2), fcntl(2) record locks (POSIX) and open file description locks.
#include "oracle.h"
#include <sys/file.h>

static int set(int fd, int cmd, short type, long start, long len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	return fcntl(fd, cmd, &l);
}

static struct flock get(int fd, int cmd, short type, long start, long len)
{
	struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = len};
	OK(fcntl(fd, cmd, &l));
	return l;
}

CASE(flock_exclusive_and_shared)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR)), c = OK(open("f", O_RDONLY));
	OK(flock(a, LOCK_SH));
	OK(flock(b, LOCK_SH | LOCK_NB));
	ERR(flock(c, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(a, LOCK_UN));
	ERR(flock(c, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(close(b));
	OK(flock(c, LOCK_EX | LOCK_NB)); // read-only descriptors do
	ERR(flock(a, LOCK_SH | LOCK_NB), EWOULDBLOCK);
	ERR(flock(a, 0), EINVAL);
	ERR(flock(999, LOCK_SH), EBADF);
}

CASE(flock_belongs_to_the_description)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR)), d = OK(dup(a)), b = OK(open("f", O_RDWR));
	OK(flock(a, LOCK_EX));
	OK(flock(d, LOCK_EX | LOCK_NB)); // the same lock
	CHILD(k) {
		OK(flock(a, LOCK_EX | LOCK_NB));
	}
	REAP(k);
	ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(close(a));
	ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	OK(flock(d, LOCK_UN));
	OK(flock(b, LOCK_EX | LOCK_NB));
}

CASE(flock_blocks_and_converts)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR)), p[2];
	char c;
	OK(pipe(p));
	OK(flock(a, LOCK_EX));
	CHILD(k) {
		int b = OK(open("f", O_RDWR));
		EQ(write(p[1], "x", 1), 1);
		OK(flock(b, LOCK_EX));
		EQ(write(p[1], "y", 1), 1);
	}
	EQ(read(p[0], &c, 1), 1);
	msleep(30);
	OK(fcntl(p[0], F_SETFL, O_NONBLOCK));
	ERR(read(p[0], &c, 1), EAGAIN);
	OK(flock(a, LOCK_UN));
	REAP(k);
	EQ(read(p[0], &c, 1), 1);
}

CASE(flock_interrupted)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR));
	OK(flock(a, LOCK_EX));
	start_ticks(0);
	ERR(flock(b, LOCK_EX), EINTR);
	stop_ticks();
}

CASE(posix_lock_conflicts)
{
	put_file("f", "0123456789");
	int fd = OK(open("f", O_RDWR));
	OK(set(fd, F_SETLK, F_WRLCK, 2, 4));
	OK(set(fd, F_SETLK, F_RDLCK, 8, 1));
	CHILD(k) {
		int g = OK(open("f", O_RDWR));
		ERR(set(g, F_SETLK, F_RDLCK, 5, 1), EAGAIN);
		ERR(set(g, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
		OK(set(g, F_SETLK, F_WRLCK, 0, 2));
		OK(set(g, F_SETLK, F_RDLCK, 8, 1));
		ERR(set(g, F_SETLK, F_WRLCK, 8, 1), EAGAIN);
		struct flock l = get(g, F_GETLK, F_WRLCK, 0, 0);
		EQ(l.l_type, F_WRLCK);
		EQ(l.l_start, 2);
		EQ(l.l_len, 4);
		EQ(l.l_pid, getppid());
		EQ(l.l_whence, SEEK_SET);
		l = get(g, F_GETLK, F_WRLCK, 6, 2);
		EQ(l.l_type, F_UNLCK);
	}
	REAP(k);
	EQ(get(fd, F_GETLK, F_WRLCK, 0, 0).l_type, F_UNLCK); // the child's went with it
}

CASE(posix_lock_split_and_merge)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR));
	OK(set(fd, F_SETLK, F_WRLCK, 0, 100));
	OK(set(fd, F_SETLK, F_UNLCK, 40, 20));
	OK(set(fd, F_SETLK, F_RDLCK, 80, 10));
	CHILD(k) {
		int g = OK(open("f", O_RDWR));
		struct flock l = get(g, F_GETLK, F_RDLCK, 0, 0);
		EQ(l.l_start, 0);
		EQ(l.l_len, 40);
		l = get(g, F_GETLK, F_RDLCK, 40, 0);
		EQ(l.l_start, 60);
		EQ(l.l_len, 20);
		l = get(g, F_GETLK, F_WRLCK, 80, 5);
		EQ(l.l_type, F_RDLCK);
		EQ(l.l_len, 10);
		l = get(g, F_GETLK, F_RDLCK, 80, 0);
		EQ(l.l_start, 90);
	}
	REAP(k);
	OK(set(fd, F_SETLK, F_WRLCK, 40, 20));
	OK(set(fd, F_SETLK, F_WRLCK, 80, 10));
	CHILD(m) {
		int g = OK(open("f", O_RDWR));
		struct flock l = get(g, F_GETLK, F_RDLCK, 0, 0);
		EQ(l.l_start, 0);
		EQ(l.l_len, 100); // neighbours merge
	}
	REAP(m);
}

CASE(posix_lock_released_by_any_close)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR));
	OK(set(fd, F_SETLK, F_WRLCK, 0, 0));
	CHILD(a) {
		int g = OK(open("f", O_RDWR));
		ERR(set(g, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
	}
	REAP(a);
	OK(close(OK(open("f", O_RDONLY))));
	CHILD(b) {
		int g = OK(open("f", O_RDWR));
		OK(set(g, F_SETLK, F_WRLCK, 0, 0));
	}
	REAP(b);
}

CASE(posix_lock_not_inherited_by_fork)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR));
	OK(set(fd, F_SETLK, F_WRLCK, 0, 1));
	CHILD(k) {
		ERR(set(fd, F_SETLK, F_WRLCK, 0, 1), EAGAIN);
	}
	REAP(k);
}

CASE(posix_lock_errors)
{
	put_file("f", "");
	int r = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY)), p[2];
	ERR(set(r, F_SETLK, F_WRLCK, 0, 1), EBADF);
	ERR(set(w, F_SETLK, F_RDLCK, 0, 1), EBADF);
	ERR(set(r, F_SETLK, 77, 0, 1), EINVAL);
	ERR(set(r, F_SETLK, F_RDLCK, -5, 1), EINVAL);
	ERR(set(999, F_SETLK, F_RDLCK, 0, 1), EBADF);
	ERR(fcntl(r, F_SETLK, BAD_PTR), EFAULT);
	OK(pipe(p));
	struct flock l = {.l_type = F_RDLCK, .l_whence = 9};
	ERR(fcntl(r, F_SETLK, &l), EINVAL);
	struct flock n = {.l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = -5};
	OK(fcntl(r, F_SETLK, &n)); // a negative length: 5 to 9
	CHILD(k) {
		int g = OK(open("f", O_RDWR));
		struct flock x = get(g, F_GETLK, F_WRLCK, 1, 100);
		EQ(x.l_type, F_RDLCK);
		EQ(x.l_start, 5);
		EQ(x.l_len, 5);
		OK(set(g, F_SETLK, F_UNLCK, 0, 0));
	}
	REAP(k);
}

CASE(posix_lock_wait)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR)), p[2];
	char c;
	OK(pipe(p));
	OK(set(fd, F_SETLK, F_WRLCK, 0, 10));
	CHILD(k) {
		int g = OK(open("f", O_RDWR));
		EQ(write(p[1], "x", 1), 1);
		OK(set(g, F_SETLKW, F_WRLCK, 5, 1));
		EQ(write(p[1], "y", 1), 1);
	}
	EQ(read(p[0], &c, 1), 1);
	msleep(20);
	OK(set(fd, F_SETLK, F_UNLCK, 0, 10));
	EQ(read(p[0], &c, 1), 1);
	REAP(k);
}

CASE(posix_lock_wait_interrupted)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR)), p[2];
	char c;
	OK(pipe(p));
	CHILD(k) {
		OK(set(fd, F_SETLK, F_WRLCK, 0, 0));
		EQ(write(p[1], "x", 1), 1);
		for (;;)
			pause();
	}
	EQ(read(p[0], &c, 1), 1);
	start_ticks(0);
	ERR(set(fd, F_SETLKW, F_WRLCK, 0, 0), EINTR);
	stop_ticks();
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
	OK(set(fd, F_SETLK, F_WRLCK, 0, 0));
}

CASE(posix_lock_deadlock)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR)), p[2];
	char c;
	OK(pipe(p));
	OK(set(fd, F_SETLK, F_WRLCK, 0, 1));
	CHILD(k) {
		OK(set(fd, F_SETLK, F_WRLCK, 1, 1));
		EQ(write(p[1], "x", 1), 1);
		if (set(fd, F_SETLKW, F_WRLCK, 0, 1) < 0) {
			EQ(errno, EDEADLK);
			_exit(1);
		}
	}
	// whoever asks last is told; the other gets the lock when it is let go
	EQ(read(p[0], &c, 1), 1);
	int st, r = set(fd, F_SETLKW, F_WRLCK, 1, 1);
	if (r < 0)
		EQ(errno, EDEADLK);
	OK(set(fd, F_SETLK, F_UNLCK, 0, 1));
	EQ(waitpid(k, &st, 0), k);
	EQ(st, r < 0 ? 0 : 0x100);
}

CASE(ofd_locks)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR)), d = OK(dup(a));
	OK(set(a, F_OFD_SETLK, F_WRLCK, 0, 10));
	ERR(set(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN); // conflicts within the process
	OK(set(d, F_OFD_SETLK, F_WRLCK, 0, 10));
	struct flock l = get(b, F_OFD_GETLK, F_WRLCK, 0, 0);
	EQ(l.l_type, F_WRLCK);
	EQ(l.l_pid, -1);
	EQ(l.l_len, 10);
	ERR(set(b, F_SETLK, F_WRLCK, 0, 1), EAGAIN); // and with POSIX locks
	OK(close(OK(open("f", O_RDONLY)))); // other closes do not matter
	ERR(set(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
	OK(close(a));
	ERR(set(b, F_OFD_SETLK, F_WRLCK, 5, 1), EAGAIN);
	OK(close(d));
	OK(set(b, F_OFD_SETLK, F_WRLCK, 5, 1));
	struct flock bad = {.l_type = F_WRLCK, .l_pid = 1};
	ERR(fcntl(b, F_OFD_SETLK, &bad), EINVAL);
}

static void *wait_for_lock(void *fd)
{
	set((int)(long)fd, F_OFD_SETLKW, F_WRLCK, 1, 1);
	return NULL;
}

// Two open file descriptions that wait for each other's lock do so for ever.
CASE(ofd_locks_wait_for_each_other)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(open("f", O_RDWR));
	OK(set(a, F_OFD_SETLK, F_WRLCK, 0, 1));
	OK(set(b, F_OFD_SETLK, F_WRLCK, 1, 1));
	sigset_t alarms;
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	OK(sigprocmask(SIG_BLOCK, &alarms, NULL));
	pthread_t t;
	EQ(pthread_create(&t, NULL, wait_for_lock, (void *)(long)a), 0);
	OK(sigprocmask(SIG_UNBLOCK, &alarms, NULL));
	start_ticks(0);
	ERR(set(b, F_OFD_SETLKW, F_WRLCK, 0, 1), EINTR);
	stop_ticks();
	OK(set(b, F_OFD_SETLK, F_UNLCK, 1, 1));
	EQ(pthread_join(t, NULL), 0);
}

CASE(lockf_and_flock_are_independent)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR));
	OK(flock(a, LOCK_EX));
	CHILD(k) {
		int b = OK(open("f", O_RDWR));
		OK(lockf(b, F_TLOCK, 10));
		ERR(flock(b, LOCK_EX | LOCK_NB), EWOULDBLOCK);
	}
	REAP(k);
}

CASE(file_leases)
{
	put_file("f", "");
	int r = OK(open("f", O_RDONLY));
	EQ(fcntl(r, F_GETLEASE), F_UNLCK);
	put_file("g", "");
	int w = OK(open("g", O_RDWR));
	ERR(fcntl(w, F_SETLEASE, F_RDLCK), EAGAIN); // open for writing
	ERR(fcntl(r, F_SETLEASE, 99), EINVAL);
}
