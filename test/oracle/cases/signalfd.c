// signalfd(2).
#include "oracle.h"
#include <sys/signalfd.h>

static int make(int flags)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	sigaddset(&s, SIGRTMIN + 1);
	sigaddset(&s, SIGCHLD);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	return OK(signalfd(-1, &s, flags));
}

CASE(signalfd_kill)
{
	struct signalfd_siginfo si[3];
	int fd = make(SFD_NONBLOCK | SFD_CLOEXEC);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ERR(read(fd, si, sizeof si), EAGAIN);
	ERR(read(fd, si, 127), EINVAL);
	OK(kill(getpid(), SIGUSR1));
	struct pollfd p = {fd, POLLIN, 0};
	EQ(poll(&p, 1, 5000), 1);
	EQ(read(fd, si, sizeof si), 128);
	EQ(si[0].ssi_signo, SIGUSR1);
	EQ(si[0].ssi_code, SI_USER);
	EQ(si[0].ssi_pid, getpid());
	EQ(si[0].ssi_uid, getuid());
	ERR(read(fd, si, sizeof si), EAGAIN);
}

CASE(signalfd_queued_values_in_order)
{
	struct signalfd_siginfo si[4];
	int fd = make(SFD_NONBLOCK);
	for (int i = 1; i <= 3; i++) {
		union sigval v = {.sival_int = i};
		OK(sigqueue(getpid(), SIGRTMIN + 1, v));
	}
	OK(kill(getpid(), SIGUSR1));
	EQ(read(fd, si, sizeof si), 4 * 128);
	EQ(si[0].ssi_signo, SIGUSR1); // the lowest number first
	for (int i = 1; i <= 3; i++) {
		EQ(si[i].ssi_signo, SIGRTMIN + 1);
		EQ(si[i].ssi_int, i);
		EQ(si[i].ssi_code, SI_QUEUE);
	}
}

CASE(signalfd_child_exit)
{
	struct signalfd_siginfo si;
	int fd = make(0);
	CHILD(k) {
		_exit(7);
	}
	EQ(read(fd, &si, sizeof si), 128);
	EQ(si.ssi_signo, SIGCHLD);
	EQ(si.ssi_code, CLD_EXITED);
	EQ(si.ssi_status, 7);
	EQ(si.ssi_pid, k);
	REAP_EXIT(k, 7);
}

CASE(signalfd_change_mask)
{
	struct signalfd_siginfo si;
	sigset_t s;
	int fd = make(SFD_NONBLOCK);
	sigemptyset(&s);
	sigaddset(&s, SIGUSR2);
	EQ(signalfd(fd, &s, 0), fd);
	OK(kill(getpid(), SIGUSR1));
	ERR(read(fd, &si, sizeof si), EAGAIN);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(kill(getpid(), SIGUSR2));
	EQ(read(fd, &si, sizeof si), 128);
	EQ(si.ssi_signo, SIGUSR2);
}

CASE(signalfd_errors)
{
	sigset_t s;
	int p[2];
	sigemptyset(&s);
	OK(pipe(p));
	ERR(signalfd(p[0], &s, 0), EINVAL);
	ERR(signalfd(999, &s, 0), EBADF);
	ERR(signalfd(-1, &s, 1), EINVAL);
	ERR(syscall(SYS_signalfd4, -1, &s, 4, 0), EINVAL);
	int fd = make(0);
	ERR(write(fd, &s, 8), EINVAL);
}
