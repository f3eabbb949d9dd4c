// tcp(7) sockets in an event loop that has gone round many times: a sandbox may have come to
// answer its reads and writes by other ways by then, and nobody must see that.
#include "rounds.h"
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>

CASE(tcp_rounds_parts_of_what_is_there)
{
	char m[16];
	int n;
	rounds();
	OK(fcntl(a, F_SETFL, 0));
	EQ(write(b, "abcdefgh", 8), 8);
	EQ(ready(5000), 1);
	EQ(read(a, m, 3), 3);
	EQ(memcmp(m, "abc", 3), 0);
	OK(ioctl(a, FIONREAD, &n));
	EQ(n, 5);
	EQ(recv(a, m, 2, MSG_PEEK), 2);
	EQ(memcmp(m, "de", 2), 0);
	EQ(read(a, m, 0), 0);
	EQ(ready(0), 1); // there is more
	EQ(recv(a, m, 2, 0), 2);
	EQ(memcmp(m, "de", 2), 0);
	EQ(write(b, "ij", 2), 2);
	EQ(recv(a, m, 5, MSG_WAITALL), 5);
	EQ(memcmp(m, "fghij", 5), 0);
	ERR(recv(a, m, sizeof m, MSG_DONTWAIT), EAGAIN);
	EQ(ready(0), 0);
}

CASE(tcp_rounds_bad_buffers)
{
	char m[8];
	rounds();
	char *page = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	EQ(write(b, "abcd", 4), 4);
	EQ(ready(5000), 1);
	ERR(read(a, BAD_PTR, 4), EFAULT);
	ERR(write(a, BAD_PTR, 4), EFAULT);
	EQ(read(a, page + 100, 8), 4); // never touched before
	EQ(memcmp(page + 100, "abcd", 4), 0);
	EQ(write(a, page + 4096, 4), 4); // neither
	EQ(read(b, m, sizeof m), 4);
	EQ(memcmp(m, "\0\0\0\0", 4), 0);
	OK(mprotect(page, 4096, PROT_READ));
	EQ(write(b, "efgh", 4), 4);
	EQ(ready(5000), 1);
	ERR(read(a, page, 4), EFAULT);
	EQ(read(a, m, sizeof m), 4);
	EQ(memcmp(m, "efgh", 4), 0);
	go_round();
}

CASE(tcp_rounds_end)
{
	char m[8];
	rounds();
	signal(SIGPIPE, SIG_IGN);
	EQ(write(b, "last", 4), 4);
	OK(shutdown(b, SHUT_WR));
	EQ(ready(5000), 1);
	EQ(read(a, m, sizeof m), 4);
	EQ(read(a, m, sizeof m), 0);
	EQ(write(a, "more", 4), 4);
	EQ(read(b, m, sizeof m), 4);
	OK(shutdown(a, SHUT_WR));
	ERR(write(a, "more", 4), EPIPE);
	ERR(send(a, "more", 4, MSG_NOSIGNAL), EPIPE);
}

CASE(tcp_rounds_reset)
{
	struct linger l = {1, 0};
	char m[8];
	rounds();
	EQ(write(a, "lost", 4), 4);
	OK(setsockopt(b, SOL_SOCKET, SO_LINGER, &l, sizeof l));
	OK(close(b));
	EQ(ready(5000), 1);
	ERR(read(a, m, sizeof m), ECONNRESET);
	ERR(send(a, "more", 4, MSG_NOSIGNAL), EPIPE);
}

CASE(tcp_rounds_descriptors)
{
	char m[8];
	int p[2], d;
	rounds();
	OK(pipe(p));
	d = OK(dup(a));
	EQ(write(b, "abcd", 4), 4);
	EQ(ready(5000), 1);
	EQ(read(d, m, 2), 2); // the other descriptor of it
	EQ(read(a, m + 2, 4), 2);
	EQ(memcmp(m, "abcd", 4), 0);
	EQ(write(a, "1", 1), 1);
	EQ(write(d, "2", 1), 1);
	EQ(write(a, "3", 1), 1);
	EQ(recv(b, m, 3, MSG_WAITALL), 3);
	EQ(memcmp(m, "123", 3), 0);
	EQ(write(b, "efgh", 4), 4);
	EQ(ready(5000), 1);
	OK(dup2(p[0], a)); // is a pipe's now
	EQ(write(p[1], "x", 1), 1);
	EQ(read(a, m, sizeof m), 1);
	ERR(write(a, "x", 1), EBADF);
	OK(close(a));
	ERR(read(a, m, sizeof m), EBADF);
	ERR(write(a, "x", 1), EBADF);
	EQ(read(d, m, sizeof m), 4);
	EQ(memcmp(m, "efgh", 4), 0);
}

static void *reader(void *m) { return (void *)(long)read(a, m, 8); }

static void *closer(void *unused)
{
	OK(close(a));
	return unused;
}

static void *in_thread(void *(*f)(void *), void *arg)
{
	pthread_t t;
	void *r;
	EQ(pthread_create(&t, NULL, f, arg), 0);
	EQ(pthread_join(t, &r), 0);
	return r;
}

CASE(tcp_rounds_threads)
{
	char m[8];
	rounds();
	EQ(write(b, "abcd", 4), 4);
	EQ(ready(5000), 1);
	EQ(in_thread(reader, m), 4); // another one has read it
	EQ(memcmp(m, "abcd", 4), 0);
	ERR(read(a, m, sizeof m), EAGAIN);
	go_round();
	EQ(write(b, "abcd", 4), 4);
	EQ(ready(5000), 1);
	in_thread(closer, NULL);
	ERR(read(a, m, sizeof m), EBADF);
	ERR(write(a, "x", 1), EBADF);
}

CASE(tcp_rounds_fork)
{
	char m[8];
	rounds();
	EQ(write(b, "abcd", 4), 4);
	EQ(ready(5000), 1);
	EQ(write(a, "mine", 4), 4);
	CHILD(p) {
		EQ(read(a, m, 2), 2);
		EQ(write(a, "child", 5), 5);
		break;
	}
	if (p == 0)
		_exit(0);
	REAP(p);
	EQ(read(a, m, sizeof m), 2);
	EQ(memcmp(m, "cd", 2), 0);
	EQ(recv(b, m, 8, MSG_WAITALL), 8);
	EQ(memcmp(m, "minechil", 8), 0);
}

// What was written is there for whoever hears of it, by whatever way, and that soon: the
// writer goes on without system calls.
CASE(tcp_rounds_seen_through_memory)
{
	char m[8];
	rounds();
	volatile int *said = OK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
	CHILD(p) {
		for (int i = 1; i <= 200; i++) {
			while (said[0] != i)
				;
			while (recv(b, m, sizeof m, MSG_DONTWAIT) != 4) // the host may take its time
				EQ(errno, EAGAIN);
			EQ(memcmp(m, "news", 4), 0);
			said[1] = i;
		}
		EQ(recv(b, m, sizeof m, 0), 4); // waits, and nobody says anything
		said[1] = -1;
		break;
	}
	if (p == 0)
		_exit(0);
	for (int i = 1; i <= 200; i++) {
		EQ(write(a, "news", 4), 4);
		said[0] = i;
		while (said[1] != i)
			;
	}
	msleep(20);
	EQ(write(a, "more", 4), 4);
	while (said[1] != -1)
		;
	REAP(p);
}

CASE(tcp_rounds_filter)
{
	char m[8];
	OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	refuse(SYS_getppid);
	rounds();
	EQ(write(b, "abcd", 4), 4);
	EQ(ready(5000), 1);
	refuse(SYS_read);
	ERR(read(a, m, sizeof m), EXDEV);
	EQ(recv(a, m, sizeof m, 0), 4);
	EQ(memcmp(m, "abcd", 4), 0);
	EQ(send(a, "x", 1, 0), 1);
	refuse(SYS_sendto);
	ERR(send(a, "x", 1, 0), EXDEV);
	EQ(recv(b, m, sizeof m, 0), 1);
}

CASE(tcp_rounds_signals)
{
	unsigned char m[700], r[700];
	unsigned sent = 0, seen = 0;
	rounds();
	for (int i = 0; i < 1000; i++) {
		tick_soon(i);
		struct epoll_event e;
		int n, len = 1 + i % sizeof m;
		for (int k = 0; k < len; k++)
			m[k] = sent++;
		EQ(write(b, m, len), len);
		while ((n = epoll_wait(ep, &e, 1, 5000)) < 0)
			EQ(errno, EINTR);
		EQ(n, 1);
		for (int got = 0; got < len; got += n) {
			n = OK(read(a, r, 1 + i % 97));
			for (int k = 0; k < n; k++)
				EQ(r[k], (unsigned char)seen++);
			EQ(write(a, r, n), n);
			EQ(recv(b, r, n, MSG_WAITALL), n);
		}
	}
	CHECK(ticks > 0);
}

CASE(tcp_rounds_flags_and_registers)
{
	rounds();
	for (int i = 0; i < 50; i++) {
		long n;
		char m[8] = "";
		unsigned long before, after;
		EQ(write(b, "abcd", 4), 4);
		EQ(ready(5000), 1);
		// The system call changes nothing but rax, rcx and r11.
		asm volatile("mov %[fd], %%edi\n\t"
			     "mov %[m], %%rsi\n\t"
			     "mov $8, %%edx\n\t"
			     "mov $0x1234, %%r8\n\t"
			     "mov $0x5678, %%r10\n\t"
			     "stc\n\tpushf\n\tpop %[before]\n\t"
			     "mov $0, %%eax\n\t"
			     "syscall\n\t"
			     "pushf\n\tpop %[after]\n\t"
			     "cmp $8, %%rdx\n\tjne 1f\n\t"
			     "cmp $0x1234, %%r8\n\tjne 1f\n\t"
			     "cmp $0x5678, %%r10\n\tjne 1f\n\t"
			     "cmp %[m], %%rsi\n\tje 2f\n\t"
			     "1: mov $-999, %%rax\n\t"
			     "2:"
			     : "=&a"(n), [before] "=&r"(before), [after] "=&r"(after)
			     : [fd] "r"(a), [m] "r"(m)
			     : "rdi", "rsi", "rdx", "rcx", "r8", "r10", "r11", "memory", "cc");
		EQ(n, 4);
		EQ(memcmp(m, "abcd", 4), 0);
		EQ(before, after);
	}
}
