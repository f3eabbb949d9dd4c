// Which calls a handler with SA_RESTART restarts and which it never does (signal(7)),
// and what stopping and continuing a process does to a blocked call.
#include "oracle.h"
#include <sys/epoll.h>
#include <sys/file.h>

// Runs f in a child, stops and continues it several times, then lets it finish by
// writing to its pipe.
static int release[2];

static void stop_and_continue(pid_t k)
{
	int st;
	for (int i = 0; i < 3; i++) {
		msleep(15);
		OK(kill(k, SIGSTOP));
		EQ(waitpid(k, &st, WUNTRACED), k);
		CHECK(WIFSTOPPED(st));
		OK(kill(k, SIGCONT));
		EQ(waitpid(k, &st, WCONTINUED), k);
	}
}

CASE(stop_does_not_end_read)
{
	char b;
	OK(pipe(release));
	CHILD(k) {
		EQ(read(release[0], &b, 1), 1);
	}
	stop_and_continue(k);
	EQ(write(release[1], "x", 1), 1);
	REAP(k);
}

CASE(stop_does_not_end_poll_or_select)
{
	OK(pipe(release));
	CHILD(k) {
		struct pollfd p = {release[0], POLLIN, 0};
		EQ(poll(&p, 1, -1), 1);
	}
	stop_and_continue(k);
	EQ(write(release[1], "x", 1), 1);
	REAP(k);
	char b;
	EQ(read(release[0], &b, 1), 1);
	CHILD(m) {
		fd_set r;
		FD_ZERO(&r);
		FD_SET(release[0], &r);
		EQ(select(release[0] + 1, &r, NULL, NULL, NULL), 1);
	}
	stop_and_continue(m);
	EQ(write(release[1], "x", 1), 1);
	REAP(m);
}

CASE(stop_ends_epoll_wait)
{
	int told[2], st;
	char b;
	OK(pipe(release));
	OK(pipe2(told, O_NONBLOCK));
	CHILD(k) {
		struct epoll_event e = {EPOLLIN, {0}};
		int ep = OK(epoll_create1(0));
		OK(epoll_ctl(ep, EPOLL_CTL_ADD, release[0], &e));
		ERR(epoll_wait(ep, &e, 1, -1), EINTR); // one of the few (signal(7))
		EQ(write(told[1], "x", 1), 1);
		EQ(read(release[0], &b, 1), 1);
	}
	do { // until a stop has met it in the call
		OK(kill(k, SIGSTOP));
		EQ(waitpid(k, &st, WUNTRACED), k);
		CHECK(WIFSTOPPED(st));
		OK(kill(k, SIGCONT));
		EQ(waitpid(k, &st, WCONTINUED), k);
		msleep(5);
	} while (read(told[0], &b, 1) < 0);
	EQ(write(release[1], "x", 1), 1);
	REAP(k);
}

CASE(stop_does_not_end_wait)
{
	OK(pipe(release));
	CHILD(k) {
		CHILD(g) {
			char b;
			EQ(read(release[0], &b, 1), 1);
		}
		REAP(g);
	}
	stop_and_continue(k);
	EQ(write(release[1], "x", 1), 1);
	REAP(k);
}

CASE(stop_does_not_end_futex_wait)
{
	int *u = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHILD(k) {
		while (__atomic_load_n(u, __ATOMIC_SEQ_CST) == 0)
			if (syscall(SYS_futex, u, 0, 0, NULL, NULL, 0) < 0)
				EQ(errno, EAGAIN);
	}
	stop_and_continue(k);
	__atomic_store_n(u, 1, __ATOMIC_SEQ_CST);
	OK(syscall(SYS_futex, u, 1, 1, NULL, NULL, 0));
	REAP(k);
}

CASE(ignored_signal_interrupts_nothing)
{
	char b;
	OK(pipe(release));
	signal(SIGUSR1, SIG_IGN);
	CHILD(k) {
		EQ(read(release[0], &b, 1), 1);
	}
	for (int i = 0; i < 5; i++) {
		msleep(5);
		OK(kill(k, SIGUSR1));
		OK(kill(k, SIGCHLD)); // ignored by default
		OK(kill(k, SIGWINCH));
	}
	EQ(write(release[1], "x", 1), 1);
	REAP(k);
}

CASE(blocked_signal_interrupts_nothing)
{
	char b;
	sigset_t s;
	OK(pipe(release));
	sigemptyset(&s);
	sigaddset(&s, SIGALRM);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	CHILD(k) {
		start_ticks(0);
		EQ(read(release[0], &b, 1), 1);
		EQ(ticks, 0);
	}
	msleep(100);
	EQ(write(release[1], "x", 1), 1);
	REAP(k);
}

// Calls that SA_RESTART restarts: each is left alone for some ticks, then completed.
#define RESTARTS(complete, call)                                             \
	do {                                                                 \
		CHILD(k) {                                                   \
			msleep(120);                                         \
			complete;                                            \
		}                                                            \
		ticks = 0;                                                   \
		start_ticks(SA_RESTART);                                     \
		call;                                                        \
		stop_ticks();                                                \
		CHECK(ticks > 0);                                            \
		REAP(k);                                                     \
	} while (0)

CASE(restarted_readv_write)
{
	int p[2];
	char b[70000];
	struct iovec v = {b, 1};
	memset(b, 0, sizeof b);
	OK(pipe(p));
	RESTARTS(EQ(write(p[1], "x", 1), 1), EQ(readv(p[0], &v, 1), 1));
	EQ(write(p[1], b, 65536), 65536);
	RESTARTS(EQ(read(p[0], b, 65536), 65536), EQ(write(p[1], b, 100), 100));
}

CASE(restarted_open_of_fifo)
{
	OK(mkfifo("p", 0600));
	RESTARTS(OK(open("p", O_WRONLY)), OK(open("p", O_RDONLY)));
}

CASE(restarted_accept_recv)
{
	int s[2];
	char b;
	OK(socketpair(AF_UNIX, SOCK_DGRAM, 0, s));
	RESTARTS(EQ(send(s[1], "x", 1, 0), 1), EQ(recv(s[0], &b, 1, 0), 1));
	struct iovec v = {&b, 1};
	struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
	RESTARTS(EQ(send(s[1], "x", 1, 0), 1), EQ(recvmsg(s[0], &m, 0), 1));
}

CASE(restarted_flock_and_fcntl)
{
	put_file("f", "");
	int fd = OK(open("f", O_RDWR));
	struct flock l = {.l_type = F_WRLCK};
	int p[2];
	char b;
	OK(pipe(p));
	CHILD(h) {
		int g = OK(open("f", O_RDWR));
		OK(flock(g, LOCK_EX));
		OK(fcntl(g, F_SETLK, &l));
		EQ(write(p[1], "x", 1), 1);
		msleep(150);
	}
	EQ(read(p[0], &b, 1), 1);
	start_ticks(SA_RESTART);
	OK(flock(fd, LOCK_EX));
	OK(fcntl(fd, F_SETLKW, &l));
	stop_ticks();
	CHECK(ticks > 0);
	while (waitpid(h, NULL, 0) < 0)
		EQ(errno, EINTR);
}

CASE(restarted_futex_wait)
{
	int *u = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	RESTARTS((*(volatile int *)u = 1, OK(syscall(SYS_futex, u, 1, 1, NULL, NULL, 0))),
		 ({
			 long r = 0;
			 if (*(volatile int *)u == 0)
				 r = syscall(SYS_futex, u, 0, 0, NULL, NULL, 0);
			 CHECK(r == 0 || errno == EAGAIN);
		 }));
}

CASE(restarted_waitid_and_getrandom)
{
	siginfo_t si;
	CHILD(k) {
		msleep(120);
		_exit(3);
	}
	start_ticks(SA_RESTART);
	OK(waitid(P_PID, k, &si, WEXITED));
	stop_ticks();
	EQ(si.si_status, 3);
	CHECK(ticks > 0);
}

CASE(socket_timeout_is_never_restarted)
{
	int s[2];
	char b;
	struct timeval tv = {10, 0};
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	OK(setsockopt(s[0], SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv));
	start_ticks(SA_RESTART);
	ERR(recv(s[0], &b, 1, 0), EINTR);
	stop_ticks();
}

static int from_handler[2];
static void write_in_handler(int s)
{
	(void)s;
	if (write(from_handler[1], "h", 1) < 0)
		_exit(1);
}

CASE(handler_completes_the_call_it_interrupts)
{
	char b;
	OK(pipe(from_handler));
	set_handler(SIGALRM, write_in_handler, SA_RESTART);
	struct itimerval it = {{0, 0}, {0, 30000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	EQ(read(from_handler[0], &b, 1), 1); // restarted, and now there is data
	EQ(b, 'h');
}

CASE(poll_timeout_is_not_prolonged_by_stops)
{
	CHILD(k) {
		long long t = now_ms();
		EQ(poll(NULL, 0, 800), 0);
		CHECK(now_ms() - t >= 799);
	}
	stop_and_continue(k);
	REAP(k);
}
