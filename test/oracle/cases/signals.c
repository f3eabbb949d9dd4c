// sigaction(2), sigprocmask(2), kill(2), tgkill(2), sigqueue(3), sigtimedwait(2),
// sigsuspend(2), pause(2), signal(7): queueing and order.
#include "oracle.h"
#include <setjmp.h>
#include <ucontext.h>

static volatile sig_atomic_t count, last, order[16];

static void note(int s)
{
	order[count++ & 15] = s;
	last = s;
}

static sigset_t set_of(int a, int b)
{
	sigset_t s;
	sigemptyset(&s);
	if (a)
		sigaddset(&s, a);
	if (b)
		sigaddset(&s, b);
	return s;
}

CASE(signal_handler_runs)
{
	set_handler(SIGUSR1, note, 0);
	OK(raise(SIGUSR1));
	EQ(count, 1);
	OK(kill(getpid(), SIGUSR1));
	EQ(count, 2); // delivered before kill returns
}

CASE(sigaction_reports_old)
{
	struct sigaction sa = {.sa_handler = note, .sa_flags = SA_RESTART | SA_NODEFER}, old;
	sigemptyset(&sa.sa_mask);
	sigaddset(&sa.sa_mask, SIGUSR2);
	OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == SIG_DFL);
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == note);
	EQ(old.sa_flags & (SA_RESTART | SA_NODEFER | SA_SIGINFO), SA_RESTART | SA_NODEFER);
	CHECK(sigismember(&old.sa_mask, SIGUSR2));
}

CASE(sigaction_errors)
{
	struct { void *h; unsigned long f; void *r; unsigned long m; } ka = {0};
	ERR(syscall(SYS_rt_sigaction, SIGKILL, &ka, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigaction, SIGSTOP, &ka, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigaction, 0, &ka, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigaction, 65, &ka, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigaction, SIGUSR1, &ka, NULL, 4), EINVAL);
	ERR(syscall(SYS_rt_sigaction, SIGUSR1, BAD_PTR, NULL, 8), EFAULT);
	ERR(syscall(SYS_rt_sigaction, SIGUSR1, NULL, BAD_PTR, 8), EFAULT);
	OK(syscall(SYS_rt_sigaction, SIGKILL, NULL, &ka, 8));
}

CASE(sigprocmask_semantics)
{
	sigset_t s = set_of(SIGUSR1, 0), old, all;
	OK(sigprocmask(SIG_BLOCK, &s, &old));
	CHECK(!sigismember(&old, SIGUSR1));
	s = set_of(SIGUSR2, 0);
	OK(sigprocmask(SIG_BLOCK, &s, &old));
	CHECK(sigismember(&old, SIGUSR1));
	OK(sigprocmask(SIG_SETMASK, NULL, &old));
	CHECK(sigismember(&old, SIGUSR1) && sigismember(&old, SIGUSR2));
	s = set_of(SIGUSR1, 0);
	OK(sigprocmask(SIG_UNBLOCK, &s, NULL));
	OK(sigprocmask(SIG_SETMASK, NULL, &old));
	CHECK(!sigismember(&old, SIGUSR1) && sigismember(&old, SIGUSR2));
	memset(&all, 0xff, sizeof all);
	OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, 8));
	OK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &old, 8));
	CHECK(!sigismember(&old, SIGKILL) && !sigismember(&old, SIGSTOP) && sigismember(&old, SIGINT));
	ERR(syscall(SYS_rt_sigprocmask, 99, &all, NULL, 8), EINVAL);
	ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, NULL, 16), EINVAL);
	ERR(syscall(SYS_rt_sigprocmask, SIG_BLOCK, BAD_PTR, NULL, 8), EFAULT);
}

CASE(blocked_signal_stays_pending)
{
	sigset_t s = set_of(SIGUSR1, 0), p;
	set_handler(SIGUSR1, note, 0);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(kill(getpid(), SIGUSR1));
	OK(kill(getpid(), SIGUSR1));
	EQ(count, 0);
	OK(sigpending(&p));
	CHECK(sigismember(&p, SIGUSR1));
	OK(sigprocmask(SIG_UNBLOCK, &s, NULL));
	EQ(count, 1); // standard signals do not queue
	OK(sigpending(&p));
	CHECK(!sigismember(&p, SIGUSR1));
}

CASE(realtime_signals_queue_in_order)
{
	sigset_t s = set_of(SIGRTMIN, SIGRTMIN + 3);
	set_handler(SIGRTMIN, note, 0);
	set_handler(SIGRTMIN + 3, note, 0);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	for (int i = 0; i < 3; i++) {
		union sigval v = {.sival_int = i};
		OK(sigqueue(getpid(), SIGRTMIN + 3, v));
	}
	union sigval v = {.sival_int = 9};
	OK(sigqueue(getpid(), SIGRTMIN, v));
	struct timespec zero = {0, 0};
	siginfo_t si;
	EQ(sigtimedwait(&s, &si, &zero), SIGRTMIN);
	EQ(si.si_value.sival_int, 9);
	for (int i = 0; i < 3; i++) {
		EQ(sigtimedwait(&s, &si, &zero), SIGRTMIN + 3);
		EQ(si.si_value.sival_int, i);
		EQ(si.si_code, SI_QUEUE);
		EQ(si.si_pid, getpid());
	}
	ERR(sigtimedwait(&s, &si, &zero), EAGAIN);
}

CASE(several_pending_delivered_lowest_first)
{
	sigset_t all;
	int sigs[] = {SIGUSR2, SIGRTMIN + 2, SIGHUP, SIGUSR1, SIGTERM};
	sigfillset(&all);
	OK(sigprocmask(SIG_BLOCK, &all, NULL));
	for (int i = 0; i < 5; i++) {
		// each handler blocks all others, so that they run one after another
		struct sigaction sa = {.sa_handler = note};
		sigfillset(&sa.sa_mask);
		OK(sigaction(sigs[i], &sa, NULL));
		OK(kill(getpid(), sigs[i]));
	}
	OK(sigprocmask(SIG_UNBLOCK, &all, NULL));
	EQ(count, 5);
	EQ(order[0], SIGHUP);
	EQ(order[1], SIGUSR1);
	EQ(order[2], SIGUSR2);
	EQ(order[3], SIGTERM);
	EQ(order[4], SIGRTMIN + 2);
}

static sigset_t mask_in_handler;
static void look_at_mask(int s)
{
	(void)s;
	sigprocmask(SIG_SETMASK, NULL, &mask_in_handler);
}

CASE(handler_mask_and_nodefer)
{
	struct sigaction sa = {.sa_handler = look_at_mask};
	sigset_t now;
	sa.sa_mask = set_of(SIGUSR2, 0);
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(raise(SIGUSR1));
	CHECK(sigismember(&mask_in_handler, SIGUSR1) && sigismember(&mask_in_handler, SIGUSR2));
	OK(sigprocmask(SIG_SETMASK, NULL, &now));
	CHECK(!sigismember(&now, SIGUSR1) && !sigismember(&now, SIGUSR2));
	sa.sa_flags = SA_NODEFER;
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(raise(SIGUSR1));
	CHECK(!sigismember(&mask_in_handler, SIGUSR1) && sigismember(&mask_in_handler, SIGUSR2));
}

CASE(resethand_resets)
{
	struct sigaction old;
	set_handler(SIGUSR1, note, SA_RESETHAND);
	OK(raise(SIGUSR1));
	OK(sigaction(SIGUSR1, NULL, &old));
	CHECK(old.sa_handler == SIG_DFL);
	EQ(count, 1);
}

CASE(ignored_signal_is_discarded)
{
	sigset_t s = set_of(SIGUSR1, 0), p;
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(raise(SIGUSR1));
	signal(SIGUSR1, SIG_IGN); // discards the pending one
	OK(sigpending(&p));
	CHECK(!sigismember(&p, SIGUSR1));
	OK(raise(SIGUSR1));
	OK(sigpending(&p));
	CHECK(sigismember(&p, SIGUSR1)); // blocked, so it is kept although ignored
}

CASE(default_actions_terminate)
{
	int sigs[] = {SIGHUP, SIGINT, SIGQUIT, SIGILL, SIGTRAP, SIGABRT, SIGBUS, SIGFPE, SIGKILL, SIGUSR1,
		      SIGSEGV, SIGUSR2, SIGPIPE, SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGVTALRM, SIGPROF,
		      SIGIO, SIGPWR, SIGSYS, SIGSTKFLT, 34, 64};
	for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++) {
		CHILD(k) {
			kill(getpid(), sigs[i]);
			_exit(1);
		}
		REAP_SIGNAL(k, sigs[i]);
	}
}

CASE(default_actions_ignore)
{
	int sigs[] = {SIGCHLD, SIGURG, SIGWINCH, SIGCONT};
	for (unsigned i = 0; i < 4; i++) {
		CHILD(k) {
			OK(kill(getpid(), sigs[i]));
		}
		REAP(k);
	}
}

CASE(kill_errors)
{
	ERR(kill(getpid(), 65), EINVAL);
	ERR(kill(getpid(), -1), EINVAL);
	OK(kill(getpid(), 0));
	ERR(kill(4000000, 0), ESRCH);
	ERR(kill(-4000000, SIGTERM), ESRCH);
	ERR(kill(INT_MIN, SIGTERM), ESRCH);
	CHILD(k) {
		become_nobody();
		ERR(kill(getppid(), SIGTERM), EPERM);
		ERR(kill(getppid(), 0), EPERM);
	}
	REAP(k);
}

CASE(kill_zombie_succeeds)
{
	siginfo_t si;
	CHILD(k) {
	}
	OK(waitid(P_PID, k, &si, WEXITED | WNOWAIT));
	OK(kill(k, SIGKILL));
	OK(kill(k, 0));
	REAP(k);
	ERR(kill(k, 0), ESRCH);
}

CASE(kill_process_group)
{
	int p[2];
	char b;
	OK(pipe(p));
	CHILD(k) {
		OK(setpgid(0, 0));
		for (int i = 0; i < 2; i++)
			if (OK(fork()) == 0) {
				OK(write(p[1], "x", 1));
				for (;;)
					pause();
			}
		OK(write(p[1], "x", 1));
		for (;;)
			pause();
	}
	OK(close(p[1]));
	for (int i = 0; i < 3; i++)
		EQ(read(p[0], &b, 1), 1);
	OK(kill(-k, SIGTERM));
	EQ(read(p[0], &b, 1), 0); // all three are gone
	REAP_SIGNAL(k, SIGTERM);
}

CASE(sigsuspend_swaps_mask)
{
	sigset_t block = set_of(SIGUSR1, SIGUSR2), open = set_of(SIGUSR2, 0), now;
	set_handler(SIGUSR1, note, SA_RESTART);
	set_handler(SIGUSR2, note, 0);
	OK(sigprocmask(SIG_BLOCK, &block, NULL));
	OK(raise(SIGUSR2));
	OK(raise(SIGUSR1));
	ERR(sigsuspend(&open), EINTR);
	EQ(count, 1);
	EQ(last, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGUSR1) && sigismember(&now, SIGUSR2));
	ERR(syscall(SYS_rt_sigsuspend, &open, 4), EINVAL);
	ERR(syscall(SYS_rt_sigsuspend, BAD_PTR, 8), EFAULT);
}

CASE(pause_returns_after_handler)
{
	start_ticks(SA_RESTART);
	ERR(pause(), EINTR);
	stop_ticks();
	CHECK(ticks >= 1);
}

CASE(sigtimedwait_semantics)
{
	sigset_t s = set_of(SIGUSR1, SIGUSR2);
	siginfo_t si;
	struct timespec ts = {0, 30000000}, bad = {0, -1};
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	long long t = now_ms();
	ERR(sigtimedwait(&s, &si, &ts), EAGAIN);
	CHECK(now_ms() - t >= 29);
	ERR(sigtimedwait(&s, &si, &bad), EINVAL);
	OK(raise(SIGUSR2));
	EQ(sigtimedwait(&s, NULL, &ts), SIGUSR2);
	CHILD(k) {
		msleep(30);
		OK(kill(getppid(), SIGUSR1));
	}
	EQ(sigwaitinfo(&s, &si), SIGUSR1);
	EQ(si.si_pid, k);
	REAP(k);
	ERR(syscall(SYS_rt_sigtimedwait, &s, &si, &ts, 4), EINVAL);
}

CASE(sigtimedwait_interrupted_by_other_signal)
{
	sigset_t s = set_of(SIGUSR1, 0);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	start_ticks(SA_RESTART);
	ERR(sigwaitinfo(&s, NULL), EINTR);
	stop_ticks();
}

static void outer(int s)
{
	note(s);
	raise(SIGUSR2);
	note(100);
}

CASE(handler_nested)
{
	struct sigaction sa = {.sa_handler = note};
	OK(sigaction(SIGUSR2, &sa, NULL));
	sa.sa_handler = outer;
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(raise(SIGUSR1));
	EQ(order[0], SIGUSR1);
	EQ(order[1], SIGUSR2);
	EQ(order[2], 100);
}

static void change_mask(int s, siginfo_t *si, void *uc)
{
	(void)s, (void)si;
	ucontext_t *u = uc;
	sigaddset(&u->uc_sigmask, SIGWINCH);
}

CASE(handler_may_change_saved_mask)
{
	struct sigaction sa = {.sa_sigaction = change_mask, .sa_flags = SA_SIGINFO};
	sigset_t now;
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(raise(SIGUSR1));
	OK(sigprocmask(SIG_BLOCK, NULL, &now));
	CHECK(sigismember(&now, SIGWINCH));
}

CASE(signals_after_fork)
{
	sigset_t s = set_of(SIGUSR1, 0), p;
	set_handler(SIGUSR2, note, 0);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(raise(SIGUSR1));
	CHILD(k) {
		OK(sigpending(&p));
		CHECK(!sigismember(&p, SIGUSR1)); // pending ones are not inherited
		OK(sigprocmask(SIG_BLOCK, NULL, &p));
		CHECK(sigismember(&p, SIGUSR1)); // the mask is
		OK(raise(SIGUSR2));
		EQ(count, 1); // and handlers
	}
	REAP(k);
}

CASE(sigkill_cannot_be_blocked)
{
	CHILD(k) {
		sigset_t all;
		sigfillset(&all);
		OK(sigprocmask(SIG_BLOCK, &all, NULL));
		raise(SIGKILL);
	}
	REAP_SIGNAL(k, SIGKILL);
}

CASE(sigkill_busy_loop)
{
	CHILD(k) {
		for (volatile long i = 0;; i++)
			;
	}
	msleep(20);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(signal_interrupts_busy_loop)
{
	start_ticks(0);
	while (ticks < 3)
		;
	stop_ticks();
}

CASE(handler_preserves_registers)
{
	start_ticks(0);
	long bad = 0;
	while (ticks < 5) {
		long a = 1, b = 2, c = 3, d = 4;
		__asm__ volatile("mov $0x1111, %%r12\n mov $0x2222, %%r13\n mov $0x3333, %%r14\n mov $0x4444, %%r15\n"
				 "mov $20000, %%rcx\n 1: dec %%rcx\n jnz 1b\n"
				 "mov %%r12, %0\n mov %%r13, %1\n mov %%r14, %2\n mov %%r15, %3\n"
				 : "=&r"(a), "=&r"(b), "=&r"(c), "=&r"(d) : : "rcx", "r12", "r13", "r14", "r15", "cc");
		bad |= a ^ 0x1111, bad |= b ^ 0x2222, bad |= c ^ 0x3333, bad |= d ^ 0x4444;
	}
	stop_ticks();
	EQ(bad, 0);
}

static void clobber_red_zone(int s)
{
	volatile char big[2000];
	memset((void *)big, 0xaa, sizeof big);
	on_tick(s);
}

CASE(handler_respects_red_zone)
{
	set_handler(SIGALRM, clobber_red_zone, 0);
	struct itimerval it = {{0, 5000}, {0, 5000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	while (ticks < 5) {
		long v;
		__asm__ volatile("movq $0x55aa, -128(%%rsp)\n mov $20000, %%rcx\n 1: dec %%rcx\n jnz 1b\n movq -128(%%rsp), %0"
				 : "=r"(v) : : "rcx", "cc", "memory");
		EQ(v, 0x55aa);
	}
	stop_ticks();
}

static sigjmp_buf env;
static volatile int hops;
static void jump(int s)
{
	(void)s;
	siglongjmp(env, 1);
}

CASE(siglongjmp_from_handler)
{
	struct sigaction sa = {.sa_handler = jump};
	OK(sigaction(SIGSEGV, &sa, NULL));
	if (sigsetjmp(env, 1))
		hops++;
	if (hops < 100)
		*(volatile char *)8 = 1;
	EQ(hops, 100);
}

static void *wait_for_usr1(void *arg)
{
	sigset_t s = set_of(SIGUSR1, 0);
	int sig;
	(void)arg;
	EQ(sigwait(&s, &sig), 0);
	return (void *)(long)sig;
}

CASE(process_signal_goes_to_a_thread_that_wants_it)
{
	sigset_t s = set_of(SIGUSR1, 0);
	pthread_t t;
	void *r;
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	EQ(pthread_create(&t, NULL, wait_for_usr1, NULL), 0);
	OK(kill(getpid(), SIGUSR1));
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, SIGUSR1);
}

static void *send_to_main(void *main_tid)
{
	sigset_t p;
	OK(syscall(SYS_tgkill, getpid(), (int)(long)main_tid, SIGUSR1));
	OK(sigpending(&p));
	return (void *)(long)sigismember(&p, SIGUSR1);
}

CASE(thread_directed_signal_is_private)
{
	sigset_t s = set_of(SIGUSR1, 0), p;
	pthread_t t;
	void *r;
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	EQ(pthread_create(&t, NULL, send_to_main, (void *)(long)gettid()), 0);
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, 0); // the other thread does not see it pending
	OK(sigpending(&p));
	CHECK(sigismember(&p, SIGUSR1));
}

CASE(stop_and_continue_discard_each_other)
{
	CHILD(k) {
		sigset_t s = set_of(SIGTSTP, SIGCONT), p;
		OK(sigprocmask(SIG_BLOCK, &s, NULL));
		OK(raise(SIGTSTP));
		OK(raise(SIGCONT));
		OK(sigpending(&p));
		CHECK(!sigismember(&p, SIGTSTP) && sigismember(&p, SIGCONT));
		OK(raise(SIGTSTP));
		OK(sigpending(&p));
		CHECK(sigismember(&p, SIGTSTP) && !sigismember(&p, SIGCONT));
	}
	REAP(k);
}

CASE(sigqueue_limit)
{
	CHILD(k) {
		struct { unsigned long cur, max; } rl = {5, 5};
		sigset_t s = set_of(SIGRTMIN, 0);
		OK(sigprocmask(SIG_BLOCK, &s, NULL));
		become_fresh_user(); // who has nothing else queued
		OK(syscall(SYS_setrlimit, 11, &rl));
		int n = 0;
		union sigval v = {0};
		while (n < 100 && sigqueue(getpid(), SIGRTMIN, v) == 0)
			n++;
		EQ(errno, EAGAIN);
		EQ(n, 5);
		OK(kill(getpid(), SIGURG)); // a standard signal needs no room
	}
	REAP(k);
}
