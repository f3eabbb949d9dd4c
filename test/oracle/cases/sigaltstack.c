// sigaltstack(2).
#include "oracle.h"
#include <ucontext.h>

#ifndef SS_AUTODISARM
#define SS_AUTODISARM (1U << 31)
#endif

static char *stack;
static volatile int on_stack, flags_inside, change_error;

static void probe(int s, siginfo_t *si, void *uc)
{
	(void)s, (void)si;
	char here;
	ucontext_t *u = uc;
	stack_t now, other = {.ss_sp = stack, .ss_size = 32768};
	on_stack = &here >= stack && &here < stack + 65536;
	sigaltstack(NULL, &now);
	flags_inside = now.ss_flags;
	change_error = sigaltstack(&other, NULL) < 0 ? errno : 0;
	CHECK(u->uc_stack.ss_sp == stack || !on_stack);
}

static void install(int flags)
{
	stack = OK(mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	stack_t ss = {.ss_sp = stack, .ss_size = 65536, .ss_flags = flags};
	OK(sigaltstack(&ss, NULL));
	struct sigaction sa = {.sa_sigaction = probe, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	OK(sigaction(SIGUSR1, &sa, NULL));
}

CASE(sigaltstack_used)
{
	install(0);
	OK(raise(SIGUSR1));
	EQ(on_stack, 1);
	EQ(flags_inside, SS_ONSTACK);
	EQ(change_error, EPERM);
	stack_t now;
	OK(sigaltstack(NULL, &now));
	EQ(now.ss_flags, 0);
	EQ(now.ss_size, 65536);
	CHECK(now.ss_sp == stack);
}

CASE(sigaltstack_not_used_without_flag)
{
	install(0);
	struct sigaction sa = {.sa_sigaction = probe, .sa_flags = SA_SIGINFO};
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(raise(SIGUSR1));
	EQ(on_stack, 0);
	EQ(flags_inside, 0);
}

CASE(sigaltstack_errors)
{
	stack_t ss = {.ss_sp = &ss, .ss_size = 100}, old;
	ERR(sigaltstack(&ss, NULL), ENOMEM);
	ss.ss_size = 65536;
	ss.ss_flags = 0x40;
	ERR(sigaltstack(&ss, NULL), EINVAL);
	ERR(syscall(SYS_sigaltstack, BAD_PTR, NULL), EFAULT);
	OK(sigaltstack(NULL, &old));
	EQ(old.ss_flags, SS_DISABLE);
	ss.ss_flags = SS_DISABLE;
	OK(sigaltstack(&ss, NULL));
}

CASE(sigaltstack_autodisarm)
{
	install((int)SS_AUTODISARM);
	OK(raise(SIGUSR1));
	EQ(on_stack, 1);
	EQ(flags_inside, SS_DISABLE);
	EQ(change_error, 0);
	stack_t now;
	OK(sigaltstack(NULL, &now));
	EQ(now.ss_flags, (int)SS_AUTODISARM); // back after the handler
	CHECK(now.ss_sp == stack);
}

static void overflow_handler(int s)
{
	_exit(s == SIGSEGV ? 9 : 1);
}

__attribute__((noinline)) static int recurse(int n)
{
	volatile char b[4096];
	b[0] = n;
	return n ? recurse(n + 1) + b[0] : 0;
}

CASE(sigaltstack_catches_stack_overflow)
{
	CHILD(k) {
		struct { unsigned long cur, max; } rl;
		OK(syscall(SYS_getrlimit, 3, &rl));
		rl.cur = 1 << 20;
		OK(syscall(SYS_setrlimit, 3, &rl));
		install(0);
		set_handler(SIGSEGV, overflow_handler, SA_ONSTACK);
		recurse(1);
	}
	REAP_EXIT(k, 9);
	CHILD(m) {
		struct { unsigned long cur, max; } rl;
		OK(syscall(SYS_getrlimit, 3, &rl));
		rl.cur = 1 << 20;
		OK(syscall(SYS_setrlimit, 3, &rl));
		set_handler(SIGSEGV, overflow_handler, 0); // no room for the frame
		recurse(1);
	}
	REAP_SIGNAL(m, SIGSEGV);
}

CASE(sigaltstack_too_small_for_frame)
{
	CHILD(k) {
		char *m = OK(mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		OK(mprotect(m, 8192, PROT_NONE)); // nowhere to write the frame
		stack_t ss = {.ss_sp = m, .ss_size = 8192};
		OK(sigaltstack(&ss, NULL));
		set_handler(SIGUSR1, overflow_handler, SA_ONSTACK);
		raise(SIGUSR1);
	}
	REAP_SIGNAL(k, SIGSEGV);
}

static void *thread_stack(void *arg)
{
	(void)arg;
	stack_t now;
	OK(sigaltstack(NULL, &now));
	return (void *)(long)now.ss_flags;
}

CASE(sigaltstack_over_fork_and_threads)
{
	install(0);
	CHILD(k) {
		stack_t now;
		OK(sigaltstack(NULL, &now));
		CHECK(now.ss_sp == stack);
		OK(raise(SIGUSR1));
		EQ(on_stack, 1);
	}
	REAP(k);
	pthread_t t;
	void *r;
	EQ(pthread_create(&t, NULL, thread_stack, NULL), 0);
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, SS_DISABLE); // a new thread has none
}
