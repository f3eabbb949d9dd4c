// clock_gettime(2), clock_getres(2), nanosleep(2), clock_nanosleep(2), setitimer(2),
// alarm(2), timer_create(2), times(2), time(2), and the vDSO against the calls.
#include "oracle.h"
#include <elf.h>
#include <sys/auxv.h>
#include <sys/times.h>
#include <sys/timex.h>

static int64_t ns(struct timespec t)
{
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static int64_t now_ns(clockid_t c)
{
	struct timespec t;
	OK(syscall(SYS_clock_gettime, c, &t));
	CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
	return ns(t);
}

CASE(clocks_exist_and_advance)
{
	clockid_t c[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_BOOTTIME, CLOCK_TAI,
			 CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE};
	for (unsigned i = 0; i < sizeof c / sizeof *c; i++) {
		int64_t a = now_ns(c[i]);
		msleep(20);
		int64_t b = now_ns(c[i]);
		CHECK(b - a >= 8000000 && b - a < 20000000000);
	}
}

CASE(clock_errors)
{
	struct timespec t = {0, 0};
	ERR(syscall(SYS_clock_gettime, 99, &t), EINVAL);
	ERR(syscall(SYS_clock_gettime, CLOCK_MONOTONIC, BAD_PTR), EFAULT);
	ERR(syscall(SYS_clock_getres, 99, &t), EINVAL);
	OK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, NULL));
	ERR(syscall(SYS_clock_settime, CLOCK_MONOTONIC, &t), EINVAL);
	CHILD(k) {
		become_nobody();
		ERR(syscall(SYS_clock_settime, CLOCK_REALTIME, &t), EPERM);
	}
	REAP(k);
}

CASE(clock_resolution)
{
	struct timespec t;
	OK(syscall(SYS_clock_getres, CLOCK_MONOTONIC, &t));
	EQ(t.tv_sec, 0);
	EQ(t.tv_nsec, 1);
	OK(syscall(SYS_clock_getres, CLOCK_REALTIME, &t));
	EQ(t.tv_nsec, 1);
	OK(syscall(SYS_clock_getres, CLOCK_PROCESS_CPUTIME_ID, &t));
	EQ(t.tv_nsec, 1);
	OK(syscall(SYS_clock_getres, CLOCK_MONOTONIC_COARSE, &t));
	CHECK(t.tv_nsec >= 1000000 && t.tv_nsec <= 10000000);
}

CASE(monotonic_never_goes_back)
{
	struct timespec t;
	int64_t last = 0;
	for (int i = 0; i < 20000; i++) {
		if (i & 1)
			clock_gettime(CLOCK_MONOTONIC, &t);
		else
			syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &t);
		CHECK(ns(t) >= last); // the call and the vDSO in turns
		last = ns(t);
	}
}

static void *vdso_symbol(const char *name)
{
	char *base = (char *)getauxval(AT_SYSINFO_EHDR);
	CHECK(base);
	Elf64_Ehdr *e = (void *)base;
	EQ(memcmp(e->e_ident, ELFMAG, 4), 0);
	EQ(e->e_machine, EM_X86_64);
	EQ(e->e_type, ET_DYN);
	Elf64_Phdr *ph = (void *)(base + e->e_phoff);
	Elf64_Dyn *dyn = NULL;
	uintptr_t off = 0;
	int loads = 0;
	for (int i = 0; i < e->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && !loads++)
			off = (uintptr_t)base + ph[i].p_offset - ph[i].p_vaddr;
		else if (ph[i].p_type == PT_DYNAMIC)
			dyn = (void *)(base + ph[i].p_offset);
	CHECK(dyn);
	Elf64_Sym *sym = NULL;
	char *str = NULL;
	uint32_t *hash = NULL, *gnu = NULL, n = 0;
	for (; dyn->d_tag != DT_NULL; dyn++)
		if (dyn->d_tag == DT_SYMTAB)
			sym = (void *)(off + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_STRTAB)
			str = (void *)(off + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_HASH)
			hash = (void *)(off + dyn->d_un.d_ptr);
		else if (dyn->d_tag == DT_GNU_HASH)
			gnu = (void *)(off + dyn->d_un.d_ptr);
	CHECK(sym && str && (hash || gnu));
	if (hash) {
		n = hash[1];
	} else {
		uint32_t *buckets = gnu + 4 + gnu[2] * 2, *chain = buckets + gnu[0];
		for (uint32_t i = 0; i < gnu[0]; i++)
			if (buckets[i] > n)
				n = buckets[i];
		while (!(chain[n - gnu[1]] & 1))
			n++;
		n++;
	}
	for (uint32_t i = 0; i < n; i++)
		if (!strcmp(str + sym[i].st_name, name) && sym[i].st_shndx)
			return (void *)(off + sym[i].st_value);
	FAILF("the vDSO has no %s", name);
}

CASE(vdso_clock_gettime_agrees)
{
	int (*get)(clockid_t, struct timespec *) = vdso_symbol("__vdso_clock_gettime");
	clockid_t c[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME, CLOCK_MONOTONIC_RAW};
	for (int i = 0; i < 4; i++) {
		struct timespec t;
		int64_t a = now_ns(c[i]);
		EQ(get(c[i], &t), 0);
		int64_t b = now_ns(c[i]);
		CHECK(ns(t) >= a - 1000000 && ns(t) <= b + 1000000);
	}
	struct timespec t;
	EQ(get(999, &t), -EINVAL);
	CHECK(get(CLOCK_THREAD_CPUTIME_ID, &t) == 0); // falls back to the call
}

CASE(vdso_gettimeofday_time_getcpu)
{
	int (*tod)(struct timeval *, void *) = vdso_symbol("__vdso_gettimeofday");
	time_t (*tm)(time_t *) = vdso_symbol("__vdso_time");
	long (*cpu)(unsigned *, unsigned *, void *) = vdso_symbol("__vdso_getcpu");
	struct timeval tv;
	int64_t a = now_ns(CLOCK_REALTIME) / 1000;
	EQ(tod(&tv, NULL), 0);
	int64_t us = tv.tv_sec * 1000000LL + tv.tv_usec;
	CHECK(us >= a - 1000 && us <= now_ns(CLOCK_REALTIME) / 1000 + 1000);
	time_t t2, t = tm(&t2);
	EQ(t, t2);
	CHECK(t >= tv.tv_sec - 1 && t <= tv.tv_sec + 20);
	unsigned c = 9999;
	EQ(cpu(&c, NULL, NULL), 0);
	CHECK(c < 4096);
}

CASE(clock_cputime_counts_work_only)
{
	int64_t a = now_ns(CLOCK_PROCESS_CPUTIME_ID), w = now_ns(CLOCK_MONOTONIC);
	msleep(100);
	int64_t b = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	CHECK(b - a < (now_ns(CLOCK_MONOTONIC) - w) / 2);
	while (now_ns(CLOCK_PROCESS_CPUTIME_ID) - b < 20000000)
		;
	CHECK(now_ns(CLOCK_THREAD_CPUTIME_ID) > 0);
}

CASE(nanosleep_semantics)
{
	struct timespec t = {0, 30000000}, bad = {0, 1000000000}, neg = {-1, 0};
	int64_t a = now_ns(CLOCK_MONOTONIC);
	OK(syscall(SYS_nanosleep, &t, NULL));
	CHECK(now_ns(CLOCK_MONOTONIC) - a >= 30000000);
	ERR(syscall(SYS_nanosleep, &bad, NULL), EINVAL);
	ERR(syscall(SYS_nanosleep, &neg, NULL), EINVAL);
	ERR(syscall(SYS_nanosleep, BAD_PTR, NULL), EFAULT);
	t.tv_nsec = 0;
	OK(syscall(SYS_nanosleep, &t, NULL));
}

CASE(nanosleep_interrupted_tells_remainder)
{
	struct timespec t = {100, 0}, rem = {0, 0};
	start_ticks(SA_RESTART); // never restarted after a handler
	ERR(syscall(SYS_nanosleep, &t, &rem), EINTR);
	stop_ticks();
	CHECK(rem.tv_sec >= 70 && rem.tv_sec < 100);
}

CASE(nanosleep_resumes_after_stop)
{
	CHILD(k) {
		struct timespec t = {0, 300000000};
		int64_t a = now_ns(CLOCK_MONOTONIC);
		OK(syscall(SYS_nanosleep, &t, NULL)); // SIGSTOP and SIGCONT do not cut it
		CHECK(now_ns(CLOCK_MONOTONIC) - a >= 300000000);
	}
	int st;
	OK(kill(k, SIGSTOP));
	EQ(waitpid(k, &st, WUNTRACED), k);
	OK(kill(k, SIGCONT));
	REAP(k);
}

CASE(clock_nanosleep_forms)
{
	struct timespec t, rem;
	OK(clock_gettime(CLOCK_MONOTONIC, &t));
	int64_t want = ns(t) + 30000000;
	t = (struct timespec){want / 1000000000, want % 1000000000};
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0);
	CHECK(now_ns(CLOCK_MONOTONIC) >= want);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL), 0); // in the past
	t.tv_sec += 100;
	rem = (struct timespec){7, 7};
	start_ticks(0);
	EQ(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, &rem), EINTR);
	EQ(rem.tv_sec, 7); // an absolute sleep tells no remainder
	struct timespec d = {100, 0};
	EQ(clock_nanosleep(CLOCK_REALTIME, 0, &d, &rem), EINTR);
	CHECK(rem.tv_sec >= 70);
	stop_ticks();
	EQ(clock_nanosleep(99, 0, &d, NULL), EINVAL);
	EQ(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &d, NULL), EINVAL);
	d = (struct timespec){0, -1};
	EQ(clock_nanosleep(CLOCK_MONOTONIC, 0, &d, NULL), EINVAL);
}

CASE(itimer_real)
{
	struct itimerval it = {{0, 0}, {0, 30000}}, got;
	set_handler(SIGALRM, on_tick, 0);
	OK(setitimer(ITIMER_REAL, &it, NULL));
	WAIT_FOR(ticks == 1);
	OK(getitimer(ITIMER_REAL, &got));
	EQ(got.it_value.tv_usec + got.it_value.tv_sec, 0);
	it = (struct itimerval){{0, 10000}, {0, 10000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	WAIT_FOR(ticks >= 5);
	it = (struct itimerval){{0, 0}, {100, 0}};
	OK(setitimer(ITIMER_REAL, &it, &got));
	EQ(got.it_interval.tv_usec, 10000);
	OK(setitimer(ITIMER_REAL, NULL, &got)); // NULL disarms, as Linux does
	CHECK(got.it_value.tv_sec >= 70);
	OK(getitimer(ITIMER_REAL, &got));
	EQ(got.it_value.tv_sec, 0);
	ERR(setitimer(9, &it, NULL), EINVAL);
	it.it_value.tv_usec = 1000000;
	ERR(setitimer(ITIMER_REAL, &it, NULL), EINVAL);
	ERR(syscall(SYS_getitimer, ITIMER_REAL, BAD_PTR), EFAULT);
}

static volatile sig_atomic_t vt, prof;
static void on_cpu(int s)
{
	if (s == SIGVTALRM)
		vt++;
	else
		prof++;
}

CASE(itimer_virtual_and_prof)
{
	struct itimerval it = {{0, 0}, {0, 20000}};
	set_handler(SIGVTALRM, on_cpu, 0);
	set_handler(SIGPROF, on_cpu, 0);
	OK(setitimer(ITIMER_VIRTUAL, &it, NULL));
	OK(setitimer(ITIMER_PROF, &it, NULL));
	msleep(60);
	EQ(vt + prof, 0); // sleeping uses no processor time
	while (!vt || !prof)
		;
	EQ(vt, 1);
	EQ(prof, 1);
}

CASE(alarm_semantics)
{
	set_handler(SIGALRM, on_tick, 0);
	EQ(alarm(100), 0);
	CHECK(alarm(50) >= 70);
	CHECK(alarm(0) >= 30);
	EQ(alarm(1), 0);
	ERR(pause(), EINTR);
	EQ(ticks, 1);
}

static siginfo_t volatile info;
static void on_info(int s, siginfo_t *si, void *uc)
{
	(void)uc;
	info = *si;
	on_tick(s);
}

CASE(posix_timer_signal)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 77};
	struct sigaction sa = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
	struct itimerspec it = {{0, 0}, {0, 20000000}}, got;
	timer_t t;
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	OK(timer_settime(t, 0, &it, NULL));
	WAIT_FOR(ticks == 1);
	EQ(info.si_code, SI_TIMER);
	EQ(info.si_value.sival_int, 77);
	OK(timer_gettime(t, &got));
	EQ(got.it_value.tv_nsec, 0);
	it.it_value.tv_sec = 100;
	OK(timer_settime(t, 0, &it, NULL));
	OK(timer_gettime(t, &got));
	CHECK(got.it_value.tv_sec >= 70 && got.it_value.tv_sec <= 100);
	OK(timer_delete(t));
	ERR(timer_delete(t), EINVAL);
}

CASE(posix_timer_overrun)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec it = {{0, 5000000}, {0, 5000000}};
	timer_t t;
	sigset_t s;
	siginfo_t si;
	sigemptyset(&s);
	sigaddset(&s, SIGUSR1);
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	OK(timer_settime(t, 0, &it, NULL));
	msleep(100);
	EQ(sigwaitinfo(&s, &si), SIGUSR1); // one signal, however many expirations
	CHECK(si.si_overrun >= 10);
	EQ(timer_getoverrun(t), si.si_overrun);
}

CASE(posix_timer_thread_and_none)
{
	struct sigevent none = {.sigev_notify = SIGEV_NONE};
	struct itimerspec it = {{0, 0}, {100, 0}}, got;
	timer_t t;
	OK(timer_create(CLOCK_REALTIME, &none, &t));
	OK(timer_settime(t, 0, &it, NULL));
	OK(timer_gettime(t, &got));
	CHECK(got.it_value.tv_sec >= 70);
	OK(timer_delete(t));
	struct sigevent bad = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = 99};
	ERR(timer_create(CLOCK_REALTIME, &bad, &t), EINVAL);
	ERR(syscall(SYS_timer_create, 99, NULL, &t), EINVAL);
	int id = 12345;
	ERR(syscall(SYS_timer_settime, id, 0, &it, NULL), EINVAL);
	ERR(syscall(SYS_timer_gettime, id, &it), EINVAL);
	// SIGEV_THREAD_ID: to one thread
	struct sigevent ev = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
	ev._sigev_un._tid = gettid();
	set_handler(SIGUSR1, on_tick, 0);
	OK(timer_create(CLOCK_MONOTONIC, &ev, &t));
	it.it_value = (struct timespec){0, 10000000};
	OK(timer_settime(t, 0, &it, NULL));
	WAIT_FOR(ticks == 1);
	ev._sigev_un._tid = 4000000;
	ERR(timer_create(CLOCK_MONOTONIC, &ev, &t), EINVAL);
}

CASE(posix_timer_absolute_in_past_fires_at_once)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec it = {{0, 0}, {1, 0}};
	timer_t t;
	set_handler(SIGUSR1, on_tick, 0);
	OK(timer_create(CLOCK_REALTIME, &ev, &t));
	OK(timer_settime(t, TIMER_ABSTIME, &it, NULL));
	WAIT_FOR(ticks == 1);
}

CASE(posix_timer_of_cpu_clock)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
	struct itimerspec it = {{0, 0}, {0, 20000000}};
	timer_t t;
	set_handler(SIGUSR1, on_tick, 0);
	OK(timer_create(CLOCK_PROCESS_CPUTIME_ID, &ev, &t));
	OK(timer_settime(t, 0, &it, NULL));
	msleep(50);
	EQ(ticks, 0);
	while (!ticks)
		;
	EQ(ticks, 1);
}

CASE(times_and_clock_ticks)
{
	struct tms a;
	clock_t x = times(&a);
	msleep(50);
	clock_t y = times(NULL);
	CHECK(y - x >= 4);
	EQ(sysconf(_SC_CLK_TCK), 100);
	CHILD(k) {
		struct tms c;
		times(&c);
		EQ(c.tms_cutime, 0);
	}
	REAP(k);
	ERR(syscall(SYS_times, BAD_PTR), EFAULT);
}

CASE(time_and_gettimeofday)
{
	time_t t = 0;
	CHECK(syscall(SYS_time, &t) == t);
	struct timeval tv;
	struct timezone tz;
	OK(syscall(SYS_gettimeofday, &tv, &tz));
	CHECK(tv.tv_sec - t >= 0 && tv.tv_sec - t < 20);
	ERR(syscall(SYS_gettimeofday, BAD_PTR, NULL), EFAULT);
	OK(syscall(SYS_gettimeofday, NULL, NULL));
	ERR(syscall(SYS_time, BAD_PTR), EFAULT);
}

CASE(cpu_clock_of_other_process)
{
	clockid_t c;
	struct timespec t;
	CHILD(k) {
		for (;;)
			pause();
	}
	EQ(clock_getcpuclockid(k, &c), 0);
	OK(clock_gettime(c, &t));
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
	ERR(clock_gettime(c, &t), EINVAL);
}

CASE(rdtsc_advances)
{
	uint64_t last = 0;
	for (int i = 0; i < 1000; i++) {
		uint32_t lo, hi;
		__asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi));
		uint64_t v = (uint64_t)hi << 32 | lo;
		CHECK(v >= last);
		last = v;
	}
}
