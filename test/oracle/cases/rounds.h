// What the cases about event loops share: one that has gone round many times.
#ifndef ROUNDS_H
#define ROUNDS_H

#include "inet.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

static int ep, a, b; // the loop's, its socket, the peer

static void watch(int fd)
{
	struct epoll_event e = {EPOLLIN, {.fd = fd}};
	OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e));
}

static int ready(int timeout)
{
	struct epoll_event e[4];
	int n = OK(epoll_wait(ep, e, 4, timeout));
	if (n > 0)
		EQ(e[0].data.fd, a);
	return n;
}

// round says something to a, has it answered, and reads the answer.
static void go_round(void)
{
	char m[8];
	EQ(write(b, "ping", 4), 4);
	EQ(ready(5000), 1);
	EQ(read(a, m, sizeof m), 4);
	EQ(memcmp(m, "ping", 4), 0);
	EQ(write(a, "pong!", 5), 5);
	EQ(read(b, m, sizeof m), 5);
	EQ(memcmp(m, "pong!", 5), 0);
}

static void rounds(void)
{
	int s[2], one = 1;
	pair(s);
	a = s[0], b = s[1];
	OK(setsockopt(a, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one));
	OK(fcntl(a, F_SETFL, O_NONBLOCK));
	ep = OK(epoll_create1(0));
	watch(a);
	for (int i = 0; i < 400; i++)
		go_round();
}

__attribute__((unused)) static void refuse(int nr)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EXDEV),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog p = {sizeof f / sizeof f[0], f};
	OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &p));
}

static volatile sig_atomic_t ticks;

static void tick(int sig) { (void)sig, ticks++; }

// tick_soon has a signal come once in a short time, another one for each i: if they came regularly a
// slow machine might do nothing but take them.
__attribute__((unused)) static void tick_soon(int i)
{
	struct itimerval it = {{0, 0}, {0, 1 + i * 7 % 300}};
	struct sigaction sa = {.sa_handler = tick, .sa_flags = SA_RESTART};
	OK(sigaction(SIGALRM, &sa, NULL));
	OK(setitimer(ITIMER_REAL, &it, NULL));
}

#endif
