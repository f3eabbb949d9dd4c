// wait4(2), waitid(2), WNOHANG, WUNTRACED, WCONTINUED, zombies, rusage.
#include "oracle.h"
#include <sys/resource.h>

CASE(wait_no_children)
{
	ERR(wait(NULL), ECHILD);
	ERR(waitpid(1, NULL, 0), ECHILD);
	ERR(waitpid(4000000, NULL, 0), ECHILD);
	ERR(waitpid(-1, NULL, WNOHANG), ECHILD);
	ERR(waitpid(-1, NULL, 0x10000000 >> 8), EINVAL);
	ERR(waitpid(INT_MIN, NULL, 0), ESRCH);
}

CASE(wait_status_values)
{
	int st;
	CHILD(a) {
		_exit(3);
	}
	EQ(waitpid(a, &st, 0), a);
	EQ(st, 0x300);
	CHILD(b) {
		raise(SIGTERM);
	}
	EQ(waitpid(b, &st, 0), b);
	EQ(st, SIGTERM);
	ERR(waitpid(b, &st, 0), ECHILD);
}

CASE(wait_nohang)
{
	int p[2], st = 77;
	char c;
	OK(pipe(p));
	CHILD(k) {
		OK(close(p[1]));
		EQ(read(p[0], &c, 1), 0);
	}
	EQ(waitpid(k, &st, WNOHANG), 0);
	EQ(st, 77);
	siginfo_t si;
	memset(&si, 0xff, sizeof si);
	EQ(waitid(P_ALL, 0, &si, WEXITED | WNOHANG), 0);
	EQ(si.si_pid, 0);
	EQ(si.si_signo, 0);
	OK(close(p[1]));
	REAP(k);
}

CASE(wait_stop_continue)
{
	int st;
	CHILD(k) {
		for (;;)
			pause();
	}
	OK(kill(k, SIGSTOP));
	EQ(waitpid(k, &st, WUNTRACED), k);
	CHECK(WIFSTOPPED(st));
	EQ(WSTOPSIG(st), SIGSTOP);
	EQ(waitpid(k, &st, WUNTRACED | WNOHANG), 0); // reported once
	OK(kill(k, SIGCONT));
	EQ(waitpid(k, &st, WCONTINUED), k);
	EQ(st, 0xffff);
	CHECK(WIFCONTINUED(st));
	EQ(waitpid(k, &st, WCONTINUED | WNOHANG), 0);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(wait_stopped_child_killed)
{
	int st;
	CHILD(k) {
		raise(SIGSTOP);
	}
	EQ(waitpid(k, &st, WUNTRACED), k);
	OK(kill(k, SIGTERM)); // waits for SIGCONT
	msleep(20);
	EQ(waitpid(k, &st, WNOHANG), 0);
	OK(kill(k, SIGCONT));
	REAP_SIGNAL(k, SIGTERM);
	CHILD(m) {
		raise(SIGSTOP);
	}
	EQ(waitpid(m, &st, WUNTRACED), m);
	OK(kill(m, SIGKILL)); // does not
	REAP_SIGNAL(m, SIGKILL);
}

CASE(waitid_fields)
{
	siginfo_t si;
	memset(&si, 0xff, sizeof si);
	CHILD(a) {
		_exit(200);
	}
	OK(waitid(P_PID, a, &si, WEXITED | WNOWAIT));
	EQ(si.si_signo, SIGCHLD);
	EQ(si.si_errno, 0);
	EQ(si.si_code, CLD_EXITED);
	EQ(si.si_pid, a);
	EQ(si.si_uid, 0);
	EQ(si.si_status, 200);
	OK(waitid(P_PID, a, &si, WEXITED)); // WNOWAIT has left it
	ERR(waitid(P_PID, a, &si, WEXITED), ECHILD);
	CHILD(b) {
		raise(SIGKILL);
	}
	OK(waitid(P_ALL, 0, &si, WEXITED));
	EQ(si.si_code, CLD_KILLED);
	EQ(si.si_status, SIGKILL);
	EQ(si.si_pid, b);
}

CASE(waitid_stopped_continued)
{
	siginfo_t si;
	CHILD(k) {
		for (;;)
			pause();
	}
	OK(kill(k, SIGSTOP));
	OK(waitid(P_PID, k, &si, WSTOPPED));
	EQ(si.si_code, CLD_STOPPED);
	EQ(si.si_status, SIGSTOP);
	OK(kill(k, SIGCONT));
	OK(waitid(P_PID, k, &si, WCONTINUED));
	EQ(si.si_code, CLD_CONTINUED);
	EQ(si.si_status, SIGCONT);
	OK(kill(k, SIGTERM));
	OK(waitid(P_PID, k, &si, WEXITED));
	EQ(si.si_status, SIGTERM);
}

CASE(waitid_errors)
{
	siginfo_t si;
	CHILD(k) {
	}
	ERR(waitid(P_PID, k, &si, 0), EINVAL);
	ERR(waitid(P_PID, k, &si, WNOHANG), EINVAL);
	ERR(waitid(77, k, &si, WEXITED), EINVAL);
	ERR(waitid(P_PID, 0, &si, WEXITED), EINVAL);
	ERR(waitid(P_PGID, -1, &si, WEXITED), EINVAL);
	ERR(waitid(P_PIDFD, 999, &si, WEXITED), EBADF);
	REAP(k);
}

CASE(wait_by_process_group)
{
	CHILD(a) {
		OK(setpgid(0, 0));
		_exit(1);
	}
	setpgid(a, a);
	CHILD(b) {
		_exit(2);
	}
	int st;
	EQ(waitpid(-a, &st, 0), a);
	EQ(WEXITSTATUS(st), 1);
	ERR(waitpid(-a, &st, 0), ECHILD);
	EQ(waitpid(0, &st, 0), b);
	EQ(WEXITSTATUS(st), 2);
}

CASE(wait_ignored_sigchld_reaps)
{
	signal(SIGCHLD, SIG_IGN);
	CHILD(k) {
		_exit(3);
	}
	ERR(waitpid(k, NULL, 0), ECHILD); // waits for its end, then there is none
	WAIT_FOR(kill(k, 0) < 0 && errno == ESRCH);
	struct sigaction sa = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
	OK(sigaction(SIGCHLD, &sa, NULL));
	CHILD(m) {
	}
	ERR(waitpid(m, NULL, 0), ECHILD);
}

static volatile sig_atomic_t chld;
static void on_chld(int s)
{
	(void)s;
	chld++;
}

CASE(sigchld_nocldstop)
{
	int st;
	set_handler(SIGCHLD, on_chld, SA_NOCLDSTOP | SA_RESTART);
	CHILD(k) {
		for (;;)
			pause();
	}
	OK(kill(k, SIGSTOP));
	EQ(waitpid(k, &st, WUNTRACED), k);
	EQ(chld, 0);
	set_handler(SIGCHLD, on_chld, SA_RESTART);
	OK(kill(k, SIGCONT));
	EQ(waitpid(k, &st, WCONTINUED), k);
	WAIT_FOR(chld == 1);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(wait_interrupted_and_restarted)
{
	CHILD(k) {
		for (;;)
			pause();
	}
	start_ticks(0);
	ERR(waitpid(k, NULL, 0), EINTR);
	stop_ticks();
	CHILD(m) {
		msleep(150);
		_exit(9);
	}
	start_ticks(SA_RESTART);
	REAP_EXIT(m, 9);
	stop_ticks();
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

static void *wait_in_thread(void *pid)
{
	int st = -1;
	EQ(waitpid((pid_t)(long)pid, &st, 0), (long)pid);
	return (void *)(long)WEXITSTATUS(st);
}

CASE(wait_for_child_of_other_thread)
{
	pthread_t t;
	void *r;
	CHILD(k) {
		msleep(20);
		_exit(44);
	}
	EQ(pthread_create(&t, NULL, wait_in_thread, (void *)(long)k), 0);
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, 44);
}

CASE(wait4_rusage)
{
	struct rusage ru, self, kids;
	memset(&ru, 0xff, sizeof ru);
	CHILD(k) {
		struct timespec ts;
		do
			clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
		while (ts.tv_sec == 0 && ts.tv_nsec < 60000000);
	}
	int st;
	EQ(wait4(k, &st, 0, &ru), k);
	CHECK(ru.ru_utime.tv_sec * 1000000 + ru.ru_utime.tv_usec + ru.ru_stime.tv_sec * 1000000 + ru.ru_stime.tv_usec >= 30000);
	OK(getrusage(RUSAGE_CHILDREN, &kids));
	CHECK(kids.ru_utime.tv_sec * 1000000 + kids.ru_utime.tv_usec + kids.ru_stime.tv_sec * 1000000 + kids.ru_stime.tv_usec >= 30000);
	OK(getrusage(RUSAGE_SELF, &self));
	ERR(getrusage(77, &self), EINVAL);
	ERR(syscall(SYS_getrusage, 0, BAD_PTR), EFAULT);
}

CASE(wait_bad_pointers)
{
	CHILD(k) {
	}
	siginfo_t si;
	OK(waitid(P_PID, k, &si, WEXITED | WNOWAIT));
	ERR(syscall(SYS_wait4, k, BAD_PTR, 0, NULL), EFAULT);
	ERR(waitpid(k, NULL, 0), ECHILD); // it has been reaped all the same
}

CASE(pidfd_operations)
{
	siginfo_t si;
	CHILD(k) {
		for (;;)
			pause();
	}
	int fd = OK(syscall(SYS_pidfd_open, k, 0));
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	struct pollfd p = {fd, POLLIN, 0};
	EQ(poll(&p, 1, 0), 0);
	OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	ERR(syscall(SYS_pidfd_send_signal, fd, 65, NULL, 0), EINVAL);
	ERR(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0x100), EINVAL);
	OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	EQ(poll(&p, 1, 15000), 1);
	EQ(p.revents & POLLIN, POLLIN);
	OK(waitid(P_PIDFD, fd, &si, WEXITED));
	EQ(si.si_status, SIGTERM);
	ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	ERR(waitid(P_PIDFD, fd, &si, WEXITED), ECHILD);
	ERR(syscall(SYS_pidfd_open, 4000000, 0), ESRCH);
	ERR(syscall(SYS_pidfd_open, -1, 0), EINVAL);
	ERR(syscall(SYS_pidfd_open, getpid(), 0x40000000), EINVAL);
	ERR(syscall(SYS_pidfd_send_signal, 999, 0, NULL, 0), EBADF);
	ERR(syscall(SYS_pidfd_send_signal, 0, 0, NULL, 0), EBADF);
}

CASE(pidfd_send_signal_by_directory)
{
	char path[64];
	CHILD(k) {
		for (;;)
			pause();
	}
	snprintf(path, sizeof path, "/proc/%d", k);
	int fd = OK(open(path, O_RDONLY | O_DIRECTORY));
	int bare = OK(open(path, O_PATH | O_DIRECTORY));
	snprintf(path, sizeof path, "/proc/%d/task/%d", k, k);
	int thread = OK(open(path, O_RDONLY | O_DIRECTORY));
	snprintf(path, sizeof path, "/proc/%d/task", k);
	int tasks = OK(open(path, O_RDONLY | O_DIRECTORY));
	int proc = OK(open("/proc", O_RDONLY | O_DIRECTORY));
	OK(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
	ERR(syscall(SYS_pidfd_send_signal, bare, 0, NULL, 0), EBADF);
	ERR(syscall(SYS_pidfd_send_signal, thread, 0, NULL, 0), EBADF);
	ERR(syscall(SYS_pidfd_send_signal, tasks, 0, NULL, 0), EBADF);
	ERR(syscall(SYS_pidfd_send_signal, proc, 0, NULL, 0), EBADF);
	ERR(syscall(SYS_pidfd_getfd, fd, 0, 0), EBADF);
	ERR(waitid(P_PIDFD, fd, NULL, WEXITED), EBADF);
	OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
	REAP_SIGNAL(k, SIGTERM);
	ERR(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0), ESRCH);
	ERR(syscall(SYS_pidfd_send_signal, fd, 65, NULL, 0), ESRCH);
}

CASE(pidfd_send_signal_to_group)
{
	enum { TO_GROUP = 4 }; // PIDFD_SIGNAL_PROCESS_GROUP
	CHILD(k) {
		for (;;)
			pause();
	}
	int fd = OK(syscall(SYS_pidfd_open, k, 0));
	if (syscall(SYS_pidfd_send_signal, fd, 0, NULL, TO_GROUP) == -1 && errno == EINVAL) {
		kill(k, SIGKILL);
		SKIP("no PIDFD_SIGNAL_PROCESS_GROUP");
	}
	ERR(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, TO_GROUP), ESRCH); // no group has its number
	OK(setpgid(k, k));
	OK(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, TO_GROUP));
	REAP_SIGNAL(k, SIGTERM);
}

CASE(pidfd_nonblocking_wait)
{
	siginfo_t si;
	CHILD(k) {
		for (;;)
			pause();
	}
	int fd = OK(syscall(SYS_pidfd_open, k, O_NONBLOCK));
	ERR(waitid(P_PIDFD, fd, &si, WEXITED), EAGAIN);
	OK(kill(k, SIGKILL));
	struct pollfd p = {fd, POLLIN, 0};
	EQ(poll(&p, 1, 15000), 1);
	OK(waitid(P_PIDFD, fd, &si, WEXITED));
	EQ(si.si_pid, k);
}

CASE(pidfd_getfd_copies)
{
	int p[2], q[2], child_fd;
	char b;
	OK(pipe(p));
	CHILD(k) {
		OK(pipe(q));
		EQ(write(q[1], "secret", 6), 6);
		EQ(write(p[1], &q[0], sizeof q[0]), sizeof q[0]);
		for (;;)
			pause();
	}
	EQ(read(p[0], &child_fd, sizeof child_fd), sizeof child_fd);
	int pf = OK(syscall(SYS_pidfd_open, k, 0));
	int fd = OK(syscall(SYS_pidfd_getfd, pf, child_fd, 0));
	EQ(read(fd, &b, 1), 1);
	EQ(b, 's');
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
	ERR(syscall(SYS_pidfd_getfd, pf, 150, 0), EBADF);
	ERR(syscall(SYS_pidfd_getfd, pf, child_fd, 1), EINVAL);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}
