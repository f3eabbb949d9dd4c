// epoll_ctl(2) in an event loop that has gone round many times and changed what it waits for in
// each: a sandbox may have come to answer these calls by other ways by then, and nobody must see
// that.
#include "rounds.h"

static int control(int op, int fd, unsigned events, unsigned long data)
{
	struct epoll_event e = {events, {.u64 = data}};
	return epoll_ctl(ep, op, fd, &e);
}

// event waits and returns the event, which has that data; 0 if there is none.
static unsigned event(int timeout, unsigned long data)
{
	struct epoll_event e[2];
	int n = OK(epoll_wait(ep, e, 2, timeout));
	if (n == 0)
		return 0;
	EQ(n, 1);
	EQ(e[0].data.u64, data);
	return e[0].events;
}

static void turn(void)
{
	go_round();
	OK(control(EPOLL_CTL_DEL, a, 0, 0));
	OK(control(EPOLL_CTL_ADD, a, EPOLLOUT, 7));
	EQ(event(5000, 7), EPOLLOUT);
	OK(control(EPOLL_CTL_MOD, a, EPOLLIN, a));
}

static void turns(void)
{
	int one = 1;
	rounds();
	OK(setsockopt(b, SOL_TCP, TCP_NODELAY, &one, sizeof one));
	for (int i = 0; i < 200; i++)
		turn();
}

CASE(epoll_rounds_operations)
{
	char m[8];
	turns();
	for (int i = 0; i < 50; i++) {
		ERR(control(EPOLL_CTL_ADD, a, EPOLLIN, a), EEXIST);
		OK(control(EPOLL_CTL_DEL, a, 0, 0));
		ERR(control(EPOLL_CTL_DEL, a, 0, 0), ENOENT);
		ERR(control(EPOLL_CTL_MOD, a, EPOLLIN, a), ENOENT);
		EQ(write(b, "x", 1), 1);
		EQ(event(i == 0 ? 50 : 0, 0), 0);
		OK(control(EPOLL_CTL_ADD, a, EPOLLIN, 8));
		OK(control(EPOLL_CTL_DEL, a, 0, 0));
		EQ(event(0, 0), 0);
		OK(control(EPOLL_CTL_ADD, a, EPOLLIN | EPOLLOUT, 9));
		EQ(event(5000, 9), EPOLLIN | EPOLLOUT);
		OK(control(EPOLL_CTL_MOD, a, 0, 10));
		EQ(event(0, 0), 0);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, 0x123456789abcdef));
		EQ(event(5000, 0x123456789abcdef), EPOLLIN);
		EQ(read(a, m, sizeof m), 1);
		EQ(event(0, 0), 0);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, a));
		turn();
	}
}

CASE(epoll_rounds_errors)
{
	turns();
	ERR(epoll_ctl(ep, EPOLL_CTL_MOD, a, BAD_PTR), EFAULT);
	OK(control(EPOLL_CTL_DEL, a, 0, 0));
	ERR(epoll_ctl(ep, EPOLL_CTL_ADD, a, BAD_PTR), EFAULT);
	ERR(control(EPOLL_CTL_MOD, a, EPOLLIN, a), ENOENT);
	OK(control(EPOLL_CTL_ADD, a, EPOLLIN, a));
	ERR(control(4, a, EPOLLIN, a), EINVAL);
	ERR(control(0, a, EPOLLIN, a), EINVAL);
	ERR(control(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLEXCLUSIVE, a), EINVAL);
	ERR(control(EPOLL_CTL_ADD, ep, EPOLLIN, a), EINVAL);
	ERR(epoll_ctl(a, EPOLL_CTL_DEL, a, NULL), EINVAL);
	ERR(epoll_ctl(-1, EPOLL_CTL_DEL, a, NULL), EBADF);
	ERR(control(EPOLL_CTL_DEL, -1, 0, 0), EBADF);
	turn();
	// An event at the end of a page, and one on a page that was never touched.
	char *page = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	OK(munmap(page + 4096, 4096));
	ERR(epoll_ctl(ep, EPOLL_CTL_MOD, a, (void *)(page + 4096 - 8)), EFAULT);
	OK(epoll_ctl(ep, EPOLL_CTL_MOD, a, (void *)page));
	EQ(write(b, "x", 1), 1);
	EQ(event(20, 0), 0);
	OK(epoll_ctl(ep, EPOLL_CTL_DEL, a, BAD_PTR));
}

CASE(epoll_rounds_exclusive)
{
	turns();
	OK(control(EPOLL_CTL_DEL, a, 0, 0));
	OK(control(EPOLL_CTL_ADD, a, EPOLLIN | EPOLLEXCLUSIVE, a));
	ERR(control(EPOLL_CTL_MOD, a, EPOLLIN, a), EINVAL);
	EQ(write(b, "x", 1), 1);
	EQ(event(5000, a), EPOLLIN);
	OK(control(EPOLL_CTL_DEL, a, 0, 0));
	ERR(control(EPOLL_CTL_DEL, a, 0, 0), ENOENT);
}

CASE(epoll_rounds_oneshot_and_edge)
{
	char m[8];
	turns();
	for (int i = 0; i < 20; i++) {
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLONESHOT, a));
		EQ(write(b, "x", 1), 1);
		EQ(event(5000, a), EPOLLIN);
		EQ(event(0, 0), 0);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLONESHOT, a));
		EQ(event(5000, a), EPOLLIN);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLET, a));
		EQ(event(5000, a), EPOLLIN);
		EQ(event(0, 0), 0);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN | EPOLLET, a)); // the same again
		EQ(event(5000, a), EPOLLIN);
		OK(control(EPOLL_CTL_DEL, a, 0, 0));
		OK(control(EPOLL_CTL_ADD, a, EPOLLIN | EPOLLET, a));
		EQ(event(5000, a), EPOLLIN);
		EQ(read(a, m, sizeof m), 1);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, a));
		turn();
	}
}

CASE(epoll_rounds_descriptors)
{
	int p[2], d;
	char m[8];
	turns();
	OK(pipe(p));
	d = OK(dup(a));
	ERR(control(EPOLL_CTL_MOD, d, EPOLLIN, d), ENOENT);
	OK(control(EPOLL_CTL_ADD, d, EPOLLIN, d));
	OK(control(EPOLL_CTL_DEL, d, 0, 0));
	turn();
	OK(control(EPOLL_CTL_MOD, a, EPOLLIN, 5));
	OK(dup2(p[0], a)); // is a pipe's now; the socket is still watched, as what it was
	ERR(control(EPOLL_CTL_MOD, a, EPOLLIN, 6), ENOENT);
	ERR(control(EPOLL_CTL_DEL, a, 0, 0), ENOENT);
	EQ(write(b, "x", 1), 1);
	EQ(event(5000, 5), EPOLLIN);
	EQ(read(d, m, sizeof m), 1);
	OK(control(EPOLL_CTL_ADD, a, EPOLLIN, 6));
	EQ(write(p[1], "x", 1), 1);
	EQ(event(5000, 6), EPOLLIN);
	OK(control(EPOLL_CTL_DEL, a, 0, 0));
	OK(dup2(d, a));
	ERR(control(EPOLL_CTL_ADD, a, EPOLLIN, 5), EEXIST); // the same file by the same number
	OK(close(a));
	ERR(control(EPOLL_CTL_MOD, a, EPOLLIN, 5), EBADF);
	EQ(OK(dup(d)), a);
	OK(control(EPOLL_CTL_MOD, a, EPOLLIN, 5));
	OK(close(d));
	OK(close(a));
	EQ(event(0, 0), 0);
}

CASE(epoll_rounds_another_epoll_file)
{
	turns();
	for (int i = 0; i < 20; i++) {
		int old = OK(dup(ep));
		OK(close(ep));
		EQ(OK(epoll_create1(0)), ep);
		ERR(control(EPOLL_CTL_MOD, a, EPOLLIN, a), ENOENT);
		ERR(control(EPOLL_CTL_DEL, a, 0, 0), ENOENT);
		EQ(write(b, "x", 1), 1);
		EQ(event(0, 0), 0);
		struct epoll_event e;
		EQ(epoll_wait(old, &e, 1, 5000), 1);
		EQ(e.data.u64, a);
		OK(control(EPOLL_CTL_ADD, a, EPOLLIN, a));
		OK(epoll_ctl(old, EPOLL_CTL_DEL, a, NULL));
		char m[8];
		EQ(event(5000, a), EPOLLIN);
		EQ(read(a, m, sizeof m), 1);
		OK(close(old));
		for (int k = 0; k < 30; k++)
			turn();
	}
}

static void *waiter(void *unused)
{
	(void)unused;
	return (void *)(long)event(5000, a);
}

static void *poller(void *unused)
{
	struct pollfd p = {ep, POLLIN, 0};
	EQ(poll(&p, 1, 5000), 1);
	EQ(p.revents, POLLIN);
	return unused;
}

// Somebody else waits: what is changed by one who does not is there at once.
static void while_waiting(void *(*wait)(void *))
{
	for (int i = 0; i < 30; i++) {
		char m[8];
		pthread_t t;
		for (int k = 0; k < 20; k++)
			turn();
		OK(control(EPOLL_CTL_DEL, a, 0, 0));
		EQ(write(b, "x", 1), 1);
		EQ(pthread_create(&t, NULL, wait, NULL), 0);
		if (i % 3 == 0)
			msleep(2);
		OK(control(EPOLL_CTL_ADD, a, EPOLLIN, a));
		EQ(pthread_join(t, NULL), 0);
		EQ(read(a, m, sizeof m), 1);
	}
}

CASE(epoll_rounds_threads)
{
	turns();
	while_waiting(waiter);
}

CASE(epoll_rounds_polled)
{
	turns();
	while_waiting(poller);
	struct pollfd p = {ep, POLLIN, 0};
	for (int i = 0; i < 50; i++) {
		turn();
		EQ(poll(&p, 1, 0), 0);
		OK(control(EPOLL_CTL_MOD, a, EPOLLOUT, 7));
		EQ(poll(&p, 1, 0), 1);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, a));
		EQ(poll(&p, 1, 0), 0);
	}
}

CASE(epoll_rounds_nested)
{
	turns();
	int outer = OK(epoll_create1(0));
	struct epoll_event e = {EPOLLIN, {.u64 = 3}};
	OK(epoll_ctl(outer, EPOLL_CTL_ADD, ep, &e));
	for (int i = 0; i < 50; i++) {
		turn();
		EQ(epoll_wait(outer, &e, 1, 0), 0);
		OK(control(EPOLL_CTL_MOD, a, EPOLLOUT, 7));
		EQ(epoll_wait(outer, &e, 1, 0), 1);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, a));
	}
}

CASE(epoll_rounds_fork)
{
	char m[8];
	turns();
	OK(control(EPOLL_CTL_MOD, a, EPOLLOUT, 7));
	CHILD(p) {
		EQ(event(0, 7), EPOLLOUT);
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, 8));
		break;
	}
	if (p == 0)
		_exit(0);
	REAP(p);
	EQ(event(0, 0), 0);
	EQ(write(b, "x", 1), 1);
	EQ(event(5000, 8), EPOLLIN);
	EQ(read(a, m, sizeof m), 1);
	OK(control(EPOLL_CTL_MOD, a, EPOLLIN, a));
	for (int i = 0; i < 50; i++)
		turn();
	CHILD(q) {
		OK(control(EPOLL_CTL_DEL, a, 0, 0));
		break;
	}
	if (q == 0)
		_exit(0);
	REAP(q);
	ERR(control(EPOLL_CTL_DEL, a, 0, 0), ENOENT);
}

CASE(epoll_rounds_fdinfo)
{
	char path[64], text[512], want[64];
	turns();
	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", ep);
	int f = OK(open(path, O_RDONLY));
	for (unsigned i = 1; i < 20; i++) {
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, 0xabc000 + i));
		text[OK(pread(f, text, sizeof text - 1, 0))] = 0;
		snprintf(want, sizeof want, "data: %16x ", 0xabc000 + i);
		CHECK(strstr(text, want) != NULL);
	}
	OK(control(EPOLL_CTL_DEL, a, 0, 0));
	text[OK(pread(f, text, sizeof text - 1, 0))] = 0;
	CHECK(strstr(text, "tfd:") == NULL);
}

CASE(epoll_rounds_filter)
{
	turns();
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	refuse(SYS_epoll_ctl);
	ERR(control(EPOLL_CTL_MOD, a, EPOLLOUT, 7), EXDEV);
	go_round();
}

CASE(epoll_rounds_signals)
{
	rounds();
	for (int i = 0; i < 1500; i++) {
		tick_soon(i);
		OK(control(EPOLL_CTL_DEL, a, 0, 0));
		ERR(control(EPOLL_CTL_DEL, a, 0, 0), ENOENT);
		OK(control(EPOLL_CTL_ADD, a, EPOLLOUT, 7));
		ERR(control(EPOLL_CTL_ADD, a, EPOLLOUT, 7), EEXIST);
		for (unsigned e = 0; e == 0;) {
			struct epoll_event r;
			if (epoll_wait(ep, &r, 1, 5000) < 0) {
				EQ(errno, EINTR);
				continue;
			}
			EQ(r.data.u64, 7);
			e = r.events;
		}
		OK(control(EPOLL_CTL_MOD, a, EPOLLIN, a));
	}
	CHECK(ticks > 0);
}
