// dup(2), dup2(2), dup3(2), fcntl(2) on descriptors, close_range(2), RLIMIT_NOFILE.
#include "oracle.h"
#include <sys/resource.h>
#include <linux/close_range.h>

CASE(dup_errors)
{
	ERR(dup(-1), EBADF);
	ERR(dup(999), EBADF);
	ERR(dup2(999, 5), EBADF);
	ERR(dup2(0, -1), EBADF);
	ERR(dup2(0, INT_MAX), EBADF);
	int fd = OK(open("/", O_RDONLY));
	EQ(dup2(fd, fd), fd);
	ERR(dup2(999, 999), EBADF);
	ERR(dup3(fd, fd, 0), EINVAL);
	ERR(dup3(fd, 50, O_APPEND), EINVAL);
}

CASE(dup_clears_cloexec)
{
	int fd = OK(open("/", O_RDONLY | O_CLOEXEC));
	EQ(fcntl(OK(dup(fd)), F_GETFD), 0);
	EQ(fcntl(OK(dup2(fd, 50)), F_GETFD), 0);
	EQ(fcntl(OK(dup3(fd, 51, O_CLOEXEC)), F_GETFD), FD_CLOEXEC);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	OK(fcntl(fd, F_SETFD, 0));
	EQ(fcntl(fd, F_GETFD), 0);
	OK(fcntl(fd, F_SETFD, 0xff));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

CASE(dup2_closes_target)
{
	int p[2];
	char b;
	OK(pipe(p));
	int w = OK(dup2(p[1], 60));
	OK(close(p[1]));
	OK(dup2(p[0], w)); // closes the last writer
	EQ(read(p[0], &b, 1), 0);
}

CASE(fcntl_dupfd)
{
	int fd = OK(open("/", O_RDONLY));
	EQ(fcntl(fd, F_DUPFD, 70), 70);
	EQ(fcntl(fd, F_DUPFD, 70), 71);
	EQ(fcntl(fd, F_DUPFD_CLOEXEC, 70), 72);
	EQ(fcntl(70, F_GETFD), 0);
	EQ(fcntl(72, F_GETFD), FD_CLOEXEC);
	ERR(fcntl(fd, F_DUPFD, -1), EINVAL);
	ERR(fcntl(fd, F_DUPFD, INT_MAX), EINVAL);
	ERR(fcntl(999, F_DUPFD, 0), EBADF);
	ERR(fcntl(fd, 99999, 0), EINVAL);
}

CASE(fcntl_shares_status_flags)
{
	put_file("f", "");
	int a = OK(open("f", O_RDWR)), b = OK(dup(a)), c = OK(open("f", O_RDWR));
	OK(fcntl(a, F_SETFL, O_APPEND | O_NONBLOCK | O_WRONLY | O_CREAT));
	EQ(fcntl(b, F_GETFL), O_RDWR | O_APPEND | O_NONBLOCK | 0100000);
	EQ(fcntl(c, F_GETFL), O_RDWR | 0100000);
}

CASE(close_range_closes)
{
	int fd = OK(open("/", O_RDONLY));
	for (int i = 80; i < 90; i++)
		OK(dup2(fd, i));
	OK(syscall(SYS_close_range, 82, 85, 0));
	OK(fcntl(81, F_GETFD));
	ERR(fcntl(82, F_GETFD), EBADF);
	ERR(fcntl(85, F_GETFD), EBADF);
	OK(fcntl(86, F_GETFD));
	OK(syscall(SYS_close_range, 86, 88, CLOSE_RANGE_CLOEXEC));
	EQ(fcntl(86, F_GETFD), FD_CLOEXEC);
	EQ(fcntl(89, F_GETFD), 0);
	ERR(syscall(SYS_close_range, 10, 5, 0), EINVAL);
	ERR(syscall(SYS_close_range, 5, 10, 0x80), EINVAL);
	OK(syscall(SYS_close_range, 5000, 6000, 0));
}

CASE(close_range_unshare)
{
	int fd = OK(open("/", O_RDONLY));
	OK(dup2(fd, 90));
	CHILD(k) {
		OK(syscall(SYS_close_range, 90, 95, CLOSE_RANGE_UNSHARE));
		ERR(fcntl(90, F_GETFD), EBADF);
	}
	REAP(k);
	OK(fcntl(90, F_GETFD));
}

CASE(rlimit_nofile_bounds_descriptors)
{
	CHILD(k) {
		struct rlimit rl;
		OK(getrlimit(RLIMIT_NOFILE, &rl));
		rl.rlim_cur = 20;
		OK(setrlimit(RLIMIT_NOFILE, &rl));
		int last = -1, fd;
		while ((fd = open("/", O_RDONLY)) >= 0)
			last = fd;
		EQ(errno, EMFILE);
		EQ(last, 19);
		ERR(dup(0), EMFILE);
		ERR(dup2(0, 20), EBADF);
		ERR(fcntl(0, F_DUPFD, 20), EINVAL);
		ERR(fcntl(0, F_DUPFD, 19), EMFILE);
		int p[2];
		ERR(pipe(p), EMFILE);
		ERR(socket(AF_UNIX, SOCK_STREAM, 0), EMFILE);
		OK(fcntl(ORACLE_REPORT_FD, F_GETFD)); // above the limit, still usable
	}
	REAP(k);
}

CASE(pipe_needs_two_free_descriptors)
{
	CHILD(k) {
		struct rlimit rl;
		OK(getrlimit(RLIMIT_NOFILE, &rl));
		rl.rlim_cur = 20;
		OK(setrlimit(RLIMIT_NOFILE, &rl));
		int fd, p[2] = {-7, -7};
		while ((fd = open("/", O_RDONLY)) >= 0)
			;
		OK(close(10));
		ERR(pipe(p), EMFILE);
		EQ(p[0], -7);
		EQ(open("/", O_RDONLY), 10); // nothing leaked
	}
	REAP(k);
}

CASE(fork_copies_descriptor_table)
{
	int fd = OK(open("/", O_RDONLY));
	CHILD(k) {
		OK(close(fd));
		OK(dup2(0, 95));
	}
	REAP(k);
	OK(fcntl(fd, F_GETFD));
	ERR(fcntl(95, F_GETFD), EBADF);
}

CASE(clone_files_shares_descriptor_table)
{
	int fd = OK(open("/", O_RDONLY));
	pid_t k = OK(syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL));
	if (k == 0) {
		close(fd);
		dup2(0, 96);
		syscall(SYS_exit_group, 0);
	}
	REAP(k);
	ERR(fcntl(fd, F_GETFD), EBADF);
	OK(fcntl(96, F_GETFD));
}

CASE(fcntl_owner)
{
	int s[2];
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	EQ(fcntl(s[0], F_GETOWN), 0);
	OK(fcntl(s[0], F_SETOWN, getpid()));
	EQ(fcntl(s[0], F_GETOWN), getpid());
	struct f_owner_ex ex = {F_OWNER_TID, getpid()}, got;
	OK(fcntl(s[0], F_SETOWN_EX, &ex));
	OK(fcntl(s[0], F_GETOWN_EX, &got));
	EQ(got.type, F_OWNER_TID);
	EQ(got.pid, getpid());
	EQ(fcntl(s[0], F_GETSIG), 0);
	OK(fcntl(s[0], F_SETSIG, SIGUSR1));
	EQ(fcntl(s[0], F_GETSIG), SIGUSR1);
	ERR(fcntl(s[0], F_SETSIG, 65), EINVAL);
	ERR(fcntl(s[0], F_SETOWN, 4000000), ESRCH);
}

CASE(sigio_on_socket_input)
{
	int s[2], info_fd;
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	sigset_t set;
	siginfo_t si;
	struct timespec ts = {10, 0};
	sigemptyset(&set);
	sigaddset(&set, SIGIO);
	sigaddset(&set, SIGRTMIN);
	OK(sigprocmask(SIG_BLOCK, &set, NULL));
	OK(fcntl(s[0], F_SETOWN, getpid()));
	OK(fcntl(s[0], F_SETFL, O_ASYNC));
	EQ(fcntl(s[0], F_GETFL) & O_ASYNC, O_ASYNC);
	EQ(write(s[1], "x", 1), 1);
	EQ(sigtimedwait(&set, &si, &ts), SIGIO);
	OK(fcntl(s[0], F_SETSIG, SIGRTMIN));
	info_fd = s[0];
	EQ(write(s[1], "x", 1), 1);
	EQ(sigtimedwait(&set, &si, &ts), SIGRTMIN);
	EQ(si.si_fd, info_fd);
	EQ(si.si_code, POLL_IN);
}
