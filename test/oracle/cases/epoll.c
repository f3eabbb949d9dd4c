// epoll(7): level and edge triggering, one-shot, nesting, errors.
#include "oracle.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

static int ep;

static void ctl(int op, int fd, uint32_t events)
{
	struct epoll_event e = {events, {.fd = fd}};
	OK(epoll_ctl(ep, op, fd, &e));
}

CASE(epoll_level_triggered)
{
	int p[2];
	char b[4];
	struct epoll_event e[4];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN);
	EQ(epoll_wait(ep, e, 4, 0), 0);
	EQ(write(p[1], "ab", 2), 2);
	for (int i = 0; i < 2; i++) {
		EQ(epoll_wait(ep, e, 4, 1000), 1);
		EQ(e[0].events, EPOLLIN);
		EQ(e[0].data.fd, p[0]);
	}
	EQ(read(p[0], b, 4), 2);
	EQ(epoll_wait(ep, e, 4, 0), 0);
	OK(close(p[1]));
	EQ(epoll_wait(ep, e, 4, 0), 1);
	EQ(e[0].events, EPOLLHUP); // reported unasked
}

CASE(epoll_edge_triggered)
{
	int p[2];
	char b[4];
	struct epoll_event e[4];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLET);
	EQ(write(p[1], "a", 1), 1);
	EQ(epoll_wait(ep, e, 4, 1000), 1);
	EQ(epoll_wait(ep, e, 4, 0), 0);
	EQ(write(p[1], "b", 1), 1);
	EQ(epoll_wait(ep, e, 4, 1000), 1);
	EQ(read(p[0], b, 1), 1);
	EQ(epoll_wait(ep, e, 4, 0), 0); // data is left, but no new edge
	ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLET);
	EQ(epoll_wait(ep, e, 4, 0), 1); // changing the interest looks again
}

CASE(epoll_oneshot)
{
	int p[2];
	struct epoll_event e[4];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN | EPOLLONESHOT);
	EQ(write(p[1], "a", 1), 1);
	EQ(epoll_wait(ep, e, 4, 1000), 1);
	EQ(epoll_wait(ep, e, 4, 0), 0);
	EQ(write(p[1], "b", 1), 1);
	EQ(epoll_wait(ep, e, 4, 0), 0);
	ctl(EPOLL_CTL_MOD, p[0], EPOLLIN | EPOLLONESHOT);
	EQ(epoll_wait(ep, e, 4, 1000), 1);
}

CASE(epoll_ctl_errors)
{
	int p[2], f;
	struct epoll_event e = {EPOLLIN, {0}};
	ep = OK(epoll_create1(EPOLL_CLOEXEC));
	EQ(fcntl(ep, F_GETFD), FD_CLOEXEC);
	OK(pipe(p));
	f = OK(open("f", O_CREAT | O_RDWR, 0600));
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, f, &e), EPERM);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, 999, &e), EBADF);
	ERR(epoll_ctl(999, EPOLL_CTL_ADD, p[0], &e), EBADF);
	ERR(epoll_ctl(p[1], EPOLL_CTL_ADD, p[0], &e), EINVAL);
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &e), EINVAL);
	ERR(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), ENOENT);
	ERR(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], &e), ENOENT);
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e), EEXIST);
	ERR(epoll_ctl(ep, 77, p[0], &e), EINVAL);
	ERR(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], BAD_PTR), EFAULT);
	OK(epoll_ctl(ep, EPOLL_CTL_DEL, p[0], NULL));
	ERR(epoll_create1(1), EINVAL);
	ERR(epoll_create(0), EINVAL);
	OK(epoll_create(1));
}

CASE(epoll_wait_errors)
{
	struct epoll_event e[2];
	int p[2];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	ERR(epoll_wait(ep, e, 0, 0), EINVAL);
	ERR(epoll_wait(ep, e, -1, 0), EINVAL);
	ERR(epoll_wait(p[0], e, 2, 0), EINVAL);
	ERR(epoll_wait(999, e, 2, 0), EBADF);
	ctl(EPOLL_CTL_ADD, p[1], EPOLLOUT);
	ERR(epoll_wait(ep, BAD_PTR, 2, 0), EFAULT);
	EQ(epoll_wait(ep, e, 2, 0), 1);
}

CASE(epoll_max_events_rotates)
{
	int fd[4], hits[4] = {0};
	struct epoll_event e[2];
	ep = OK(epoll_create1(0));
	for (int i = 0; i < 4; i++) {
		fd[i] = OK(eventfd(1, 0));
		struct epoll_event x = {EPOLLIN, {.u32 = i}};
		OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd[i], &x));
	}
	for (int j = 0; j < 4; j++) {
		EQ(epoll_wait(ep, e, 2, 0), 2);
		hits[e[0].data.u32]++;
		hits[e[1].data.u32]++;
	}
	for (int i = 0; i < 4; i++)
		EQ(hits[i], 2); // none starves
}

CASE(epoll_as_many_events_as_asked_for)
{
	// Each file is watched by each of these numbers, one after the other: many interests with
	// few descriptors.
	enum { FILES = 60, NUMBERS = 50, ALL = FILES * NUMBERS };
	static struct epoll_event got[ALL];
	int numbers[NUMBERS], n = 0;
	ep = OK(epoll_create1(0));
	for (int j = 0; j < NUMBERS; j++)
		numbers[j] = OK(dup(ep));
	for (int i = 0; i < FILES; i++) {
		int file = OK(eventfd(1, 0));
		for (int j = 0; j < NUMBERS; j++) {
			struct epoll_event e = {.events = EPOLLIN, .data.u32 = n++};
			OK(dup2(file, numbers[j]));
			OK(epoll_ctl(ep, EPOLL_CTL_ADD, numbers[j], &e));
		}
	}
	EQ(epoll_wait(ep, got, ALL, -1), ALL);
	for (int i = 0; i < ALL; i++) {
		EQ(got[i].events, EPOLLIN);
		EQ(got[i].data.u32, i);
	}
	EQ(epoll_wait(ep, got, ALL - 1, -1), ALL - 1);
	EQ(got[0].data.u32, 0);
	EQ(epoll_wait(ep, got, ALL, -1), ALL);
	EQ(got[0].data.u32, ALL - 1);
}

CASE(epoll_close_removes_last_reference)
{
	int p[2];
	struct epoll_event e[2];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN);
	int d = OK(dup(p[0])), old = p[0];
	EQ(write(p[1], "x", 1), 1);
	OK(close(p[0]));
	EQ(epoll_wait(ep, e, 2, 0), 1); // the duplicate keeps the description
	EQ(e[0].data.fd, old);
	ERR(epoll_ctl(ep, EPOLL_CTL_DEL, old, NULL), EBADF);
	OK(close(d));
	EQ(epoll_wait(ep, e, 2, 0), 0);
}

CASE(epoll_duplicate_descriptor_is_separate)
{
	int p[2];
	struct epoll_event e[4];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	int d = OK(dup(p[0]));
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN);
	ctl(EPOLL_CTL_ADD, d, EPOLLIN);
	EQ(write(p[1], "x", 1), 1);
	EQ(epoll_wait(ep, e, 4, 0), 2);
}

CASE(epoll_nested)
{
	int p[2], inner = OK(epoll_create1(0));
	struct epoll_event e[2], x = {EPOLLIN, {.u64 = 7}};
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	OK(epoll_ctl(inner, EPOLL_CTL_ADD, p[0], &x));
	ctl(EPOLL_CTL_ADD, inner, EPOLLIN);
	EQ(epoll_wait(ep, e, 2, 0), 0);
	EQ(write(p[1], "x", 1), 1);
	EQ(epoll_wait(ep, e, 2, 1000), 1);
	EQ(e[0].data.fd, inner);
	struct pollfd pf = {ep, POLLIN, 0};
	EQ(poll(&pf, 1, 0), 1);
	ERR(epoll_ctl(inner, EPOLL_CTL_ADD, ep, &x), ELOOP);
}

static int watch(int outer, int inner)
{
	struct epoll_event e = {EPOLLIN, {0}};
	return epoll_ctl(outer, EPOLL_CTL_ADD, inner, &e);
}

// Makes n epoll files of which each watches the next; the result is the first.
static int chain(int n, int *last)
{
	int first = *last = OK(epoll_create1(0));
	while (--n > 0) {
		int e = OK(epoll_create1(0));
		OK(watch(e, first));
		first = e;
	}
	return first;
}

CASE(epoll_nested_depth)
{
	int e[6], last, unused;
	for (int i = 0; i < 6; i++)
		e[i] = OK(epoll_create1(0));
	for (int i = 0; i < 4; i++)
		OK(watch(e[i], e[i + 1]));
	ERR(watch(e[4], e[5]), ELOOP);
	OK(watch(e[4], OK(eventfd(0, 0))));
	for (int above = 1; above <= 5; above++)
		for (int below = 1; below <= 5; below++) {
			chain(above, &last);
			if (above + below <= 5)
				OK(watch(last, chain(below, &unused)));
			else
				ERR(watch(last, chain(below, &unused)), ELOOP);
		}
}

CASE(epoll_circles)
{
	int last, first = chain(3, &last);
	ERR(watch(last, first), ELOOP);
	ERR(watch(last, last), EINVAL);
	int middle = OK(epoll_create1(0));
	OK(watch(middle, last));
	ERR(watch(last, middle), ELOOP);
	OK(epoll_ctl(middle, EPOLL_CTL_DEL, last, NULL));
	OK(watch(last, middle));
	ERR(watch(last, middle), EEXIST);
	OK(close(first)); // the others do not go with it
	ERR(watch(middle, last), ELOOP);
}

CASE(epoll_wake_up_paths)
{
	static const int limits[] = {0, 500, 100, 50, 10};
	for (int files = 1; files <= 4; files++) {
		int last, first = chain(files, &last), outer = -1, more = OK(epoll_create1(0));
		OK(watch(last, OK(eventfd(0, 0))));
		for (int i = 0; i < limits[files]; i++)
			OK(watch(outer = OK(epoll_create1(0)), first));
		ERR(watch(more, first), EINVAL);
		ERR(epoll_ctl(more, EPOLL_CTL_DEL, first, NULL), ENOENT);
		OK(close(outer));
		OK(watch(more, first));
		OK(syscall(SYS_close_range, 3, ~0U, 0));
	}
}

CASE(epoll_wake_up_paths_from_above)
{
	// Any number of epoll files may watch a file themselves, or one that has nothing.
	int ev = OK(eventfd(0, 0)), empty = OK(epoll_create1(0));
	for (int i = 0; i < 501; i++) {
		int e = OK(epoll_create1(0));
		OK(watch(e, ev));
		OK(watch(e, empty));
	}
	ERR(watch(empty, ev), EINVAL);
	ERR(watch(empty, OK(eventfd(0, 0))), EINVAL);
}

CASE(epoll_timeout_and_wakeup)
{
	int p[2];
	struct epoll_event e[2];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN);
	long long t = now_ms();
	EQ(epoll_wait(ep, e, 2, 50), 0);
	CHECK(now_ms() - t >= 49);
	CHILD(k) {
		msleep(50);
		EQ(write(p[1], "x", 1), 1);
	}
	EQ(epoll_wait(ep, e, 2, -1), 1);
	REAP(k);
}

CASE(epoll_interrupted)
{
	struct epoll_event e;
	ep = OK(epoll_create1(0));
	start_ticks(SA_RESTART); // never restarted
	ERR(epoll_wait(ep, &e, 1, -1), EINTR);
	stop_ticks();
}

static void on_usr1(int s)
{
	(void)s;
}

CASE(epoll_pwait_mask)
{
	struct epoll_event e;
	sigset_t block, open;
	ep = OK(epoll_create1(0));
	set_handler(SIGUSR1, on_usr1, 0);
	sigemptyset(&open);
	sigemptyset(&block);
	sigaddset(&block, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &block, NULL));
	OK(raise(SIGUSR1));
	EQ(epoll_wait(ep, &e, 1, 10), 0);
	ERR(epoll_pwait(ep, &e, 1, -1, &open), EINTR);
	sigset_t now;
	OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1));
	ERR(syscall(SYS_epoll_pwait, ep, &e, 1, 0, &open, 7), EINVAL);
}

CASE(epoll_pwait2_timeout)
{
	struct epoll_event e;
	struct timespec ts = {0, 20000000}, bad = {0, 1000000000};
	ep = OK(epoll_create1(0));
	long long t = now_ms();
	EQ(syscall(SYS_epoll_pwait2, ep, &e, 1, &ts, NULL, 0), 0);
	CHECK(now_ms() - t >= 19);
	ERR(syscall(SYS_epoll_pwait2, ep, &e, 1, &bad, NULL, 0), EINVAL);
}

CASE(epoll_exclusive)
{
	int p[2];
	struct epoll_event e = {EPOLLIN | EPOLLEXCLUSIVE, {0}};
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
	ERR(epoll_ctl(ep, EPOLL_CTL_MOD, p[0], &e), EINVAL);
	struct epoll_event bad = {EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT, {0}};
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, p[1], &bad), EINVAL);
}

static char state_of(pid_t p)
{
	char path[32], text[256], *end;
	snprintf(path, sizeof path, "/proc/%d/stat", (int)p);
	get_file(path, text, sizeof text);
	CHECK(end = strrchr(text, ')'));
	return end[2];
}

// Of those that wait with EPOLLEXCLUSIVE one is woken for each event, the others stay as they are.
CASE(epoll_exclusive_wakes_one)
{
	enum { waiters = 3 };
	int p[2], told[2], go[2], k[waiters];
	char b;
	OK(pipe(p));
	OK(pipe(told));
	OK(pipe(go));
	for (int i = 0; i < waiters; i++) {
		CHILD(child)
		{
			struct epoll_event e = {EPOLLIN | EPOLLET | EPOLLEXCLUSIVE, {0}};
			ep = OK(epoll_create1(0));
			OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &e));
			e.data.fd = go[0];
			e.events = EPOLLIN;
			OK(epoll_ctl(ep, EPOLL_CTL_ADD, go[0], &e));
			EQ(epoll_wait(ep, &e, 1, -1), 1);
			EQ(write(told[1], e.data.fd == go[0] ? "g" : "p", 1), 1);
		}
		k[i] = child;
		WAIT_FOR(state_of(child) == 'S');
	}
	for (int i = 0; i < waiters - 1; i++) {
		EQ(write(p[1], "x", 1), 1);
		EQ(read(told[0], &b, 1), 1);
		EQ(b, 'p');
	}
	EQ(write(go[1], "x", 1), 1); // who waits on
	EQ(read(told[0], &b, 1), 1);
	EQ(b, 'g');
	for (int i = 0; i < waiters; i++)
		REAP(k[i]);
}

CASE(epoll_rdhup)
{
	int s[2];
	struct epoll_event e[2];
	ep = OK(epoll_create1(0));
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, s));
	ctl(EPOLL_CTL_ADD, s[0], EPOLLIN | EPOLLRDHUP | EPOLLOUT);
	EQ(epoll_wait(ep, e, 2, 0), 1);
	EQ(e[0].events, EPOLLOUT);
	OK(shutdown(s[1], SHUT_WR));
	EQ(epoll_wait(ep, e, 2, 0), 1);
	EQ(e[0].events, EPOLLIN | EPOLLRDHUP | EPOLLOUT);
	OK(close(s[1]));
	EQ(epoll_wait(ep, e, 2, 0), 1);
	EQ(e[0].events, EPOLLIN | EPOLLRDHUP | EPOLLOUT | EPOLLHUP);
}

static void *write_later(void *fd)
{
	msleep(30);
	write((int)(long)fd, "x", 1);
	return NULL;
}

CASE(epoll_add_while_waiting)
{
	int p[2];
	pthread_t t;
	struct epoll_event e[2];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	ctl(EPOLL_CTL_ADD, p[0], EPOLLIN);
	EQ(pthread_create(&t, NULL, write_later, (void *)(long)p[1]), 0);
	EQ(epoll_wait(ep, e, 2, 15000), 1);
	EQ(pthread_join(t, NULL), 0);
}

CASE(epoll_shared_over_fork)
{
	int p[2];
	struct epoll_event e[2];
	ep = OK(epoll_create1(0));
	OK(pipe(p));
	CHILD(k) {
		ctl(EPOLL_CTL_ADD, p[0], EPOLLIN);
	}
	REAP(k);
	EQ(write(p[1], "x", 1), 1);
	EQ(epoll_wait(ep, e, 2, 0), 1); // one interest list, shared by both processes
}
