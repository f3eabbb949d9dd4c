// Threads: clone(CLONE_THREAD), exit(2) against exit_group(2), tids, TLS, arch_prctl(2),
// set_tid_address(2), mutexes and condition variables under contention.
#include "oracle.h"
#include <asm/prctl.h>
#include <sched.h>
#include <semaphore.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static void *return_tid(void *arg)
{
	(void)arg;
	return (void *)(long)gettid();
}

CASE(thread_ids)
{
	pthread_t t;
	void *r;
	EQ(pthread_create(&t, NULL, return_tid, NULL), 0);
	EQ(pthread_join(t, &r), 0);
	CHECK((long)r != getpid() && (long)r > 0);
	EQ(gettid(), getpid());
	WAIT_FOR(syscall(SYS_tgkill, getpid(), (int)(long)r, 0) < 0 && errno == ESRCH);
}

static void *pid_of_thread(void *arg)
{
	(void)arg;
	return (void *)(long)(getpid() + getppid());
}

CASE(threads_share_process_ids)
{
	pthread_t t;
	void *r;
	EQ(pthread_create(&t, NULL, pid_of_thread, NULL), 0);
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, getpid() + getppid());
}

static int counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void *add(void *arg)
{
	for (int i = 0; i < (int)(long)arg; i++) {
		pthread_mutex_lock(&lock);
		counter++;
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

CASE(mutex_contention)
{
	pthread_t t[8];
	for (int i = 0; i < 8; i++)
		EQ(pthread_create(&t[i], NULL, add, (void *)2000L), 0);
	for (int i = 0; i < 8; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(counter, 16000);
}

static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static int turn;

static void *ping(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 200; i++) {
		pthread_mutex_lock(&lock);
		while (turn != me)
			pthread_cond_wait(&cond, &lock);
		turn = !me;
		pthread_cond_broadcast(&cond);
		pthread_mutex_unlock(&lock);
	}
	return NULL;
}

CASE(condition_variable_ping_pong)
{
	pthread_t a, b;
	EQ(pthread_create(&a, NULL, ping, (void *)0L), 0);
	EQ(pthread_create(&b, NULL, ping, (void *)1L), 0);
	EQ(pthread_join(a, NULL), 0);
	EQ(pthread_join(b, NULL), 0);
	EQ(turn, 0);
}

CASE(condition_variable_timeout)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	ts.tv_nsec += 30000000;
	if (ts.tv_nsec >= 1000000000)
		ts.tv_sec++, ts.tv_nsec -= 1000000000;
	pthread_mutex_lock(&lock);
	EQ(pthread_cond_timedwait(&cond, &lock, &ts), ETIMEDOUT);
}

static sem_t sem;
static void *post(void *arg)
{
	(void)arg;
	for (int i = 0; i < 100; i++)
		sem_post(&sem);
	return NULL;
}

CASE(semaphore_counts)
{
	pthread_t t;
	OK(sem_init(&sem, 0, 0));
	EQ(pthread_create(&t, NULL, post, NULL), 0);
	for (int i = 0; i < 100; i++)
		OK(sem_wait(&sem));
	EQ(pthread_join(t, NULL), 0);
	ERR(sem_trywait(&sem), EAGAIN);
}

static pthread_barrier_t barrier;
static void *meet(void *arg)
{
	(void)arg;
	int r = 0;
	for (int i = 0; i < 20; i++)
		r += pthread_barrier_wait(&barrier) == PTHREAD_BARRIER_SERIAL_THREAD;
	return (void *)(long)r;
}

CASE(barrier_rounds)
{
	pthread_t t[5];
	long serial = 0;
	void *r;
	EQ(pthread_barrier_init(&barrier, NULL, 5), 0);
	for (int i = 0; i < 5; i++)
		EQ(pthread_create(&t[i], NULL, meet, NULL), 0);
	for (int i = 0; i < 5; i++) {
		EQ(pthread_join(t[i], &r), 0);
		serial += (long)r;
	}
	EQ(serial, 20);
}

static __thread int tls = 5;
static void *use_tls(void *arg)
{
	int before = tls;
	tls = (int)(long)arg;
	sched_yield();
	return (void *)(long)(tls == (int)(long)arg && before == 5);
}

CASE(thread_local_storage)
{
	pthread_t t[10];
	void *r;
	for (long i = 0; i < 10; i++)
		EQ(pthread_create(&t[i], NULL, use_tls, (void *)(100 + i)), 0);
	for (int i = 0; i < 10; i++) {
		EQ(pthread_join(t[i], &r), 0);
		EQ((long)r, 1);
	}
	EQ(tls, 5);
}

CASE(arch_prctl_bases)
{
	unsigned long fs = 0, gs = 1;
	static unsigned long data = 0x77;
	OK(syscall(SYS_arch_prctl, ARCH_GET_FS, &fs));
	CHECK(fs != 0);
	OK(syscall(SYS_arch_prctl, ARCH_SET_GS, &data));
	OK(syscall(SYS_arch_prctl, ARCH_GET_GS, &gs));
	EQ(gs, (unsigned long)&data);
	unsigned long v;
	__asm__ volatile("movq %%gs:0, %0" : "=r"(v));
	EQ(v, 0x77);
	getpid();
	syscall(SYS_getppid);
	__asm__ volatile("movq %%gs:0, %0" : "=r"(v));
	EQ(v, 0x77); // kept over system calls
	CHILD(k) {
		__asm__ volatile("movq %%gs:0, %0" : "=r"(v));
		EQ(v, 0x77); // and fork
	}
	REAP(k);
	ERR(syscall(SYS_arch_prctl, ARCH_SET_FS, 0x8000000000000000), EPERM);
	ERR(syscall(SYS_arch_prctl, 0x9999, 0), EINVAL);
	ERR(syscall(SYS_arch_prctl, ARCH_GET_GS, BAD_PTR), EFAULT);
}

static int cleared = 1;
static void *clear_tid(void *arg)
{
	(void)arg;
	return (void *)syscall(SYS_set_tid_address, syscall(SYS_gettid) ? &cleared : NULL);
}

CASE(set_tid_address_returns_tid)
{
	// in a process of its own, for the C library wants its own address back
	CHILD(k) {
		EQ(syscall(SYS_set_tid_address, &cleared), gettid());
		CHECK(clear_tid(NULL) == (void *)(long)gettid());
	}
	REAP(k);
}

static char raw_stack[65536] __attribute__((aligned(16)));
static int raw_tid = -1;
static int raw_thread(void *arg)
{
	*(volatile int *)arg = 99;
	syscall(SYS_exit, 0);
	return 0;
}

CASE(raw_thread_clears_and_wakes_tid)
{
	int v = 0;
	pid_t t = OK(clone(raw_thread, raw_stack + sizeof raw_stack,
			   CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
				   CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
			   &v, &raw_tid, NULL, &raw_tid));
	CHECK(t != getpid());
	int now;
	while ((now = __atomic_load_n(&raw_tid, __ATOMIC_SEQ_CST)) != 0)
		syscall(SYS_futex, &raw_tid, 0, now, NULL, NULL, 0);
	EQ(v, 99);
	ERR(waitpid(t, NULL, __WALL), ECHILD); // threads are not waited for
}

static void *sleep_forever(void *arg)
{
	(void)arg;
	for (;;)
		pause();
}

static void *exit_group_in_thread(void *arg)
{
	(void)arg;
	_exit(37);
}

CASE(exit_group_ends_all_threads)
{
	CHILD(k) {
		pthread_t t;
		for (int i = 0; i < 5; i++)
			EQ(pthread_create(&t, NULL, sleep_forever, NULL), 0);
		EQ(pthread_create(&t, NULL, exit_group_in_thread, NULL), 0);
		sleep_forever(NULL);
	}
	REAP_EXIT(k, 37);
}

static void *exit_later(void *arg)
{
	int v = (int)(long)arg;
	msleep(60);
	syscall(SYS_exit, v);
	return NULL;
}

CASE(leader_exit_waits_for_threads)
{
	int st;
	CHILD(k) {
		pthread_t t;
		EQ(pthread_create(&t, NULL, exit_later, (void *)5L), 0);
		syscall(SYS_exit, 41);
	}
	REAP_EXIT(k, 5); // the last thread's code, since Linux 5.18
	CHILD(m) {
		pthread_t t;
		EQ(pthread_create(&t, NULL, sleep_forever, NULL), 0);
		syscall(SYS_exit, 41);
	}
	msleep(30);
	EQ(waitpid(m, &st, WNOHANG), 0);
	OK(kill(m, SIGKILL)); // the dead leader's process can still be signalled
	REAP_SIGNAL(m, SIGKILL);
}

CASE(signal_kills_all_threads)
{
	CHILD(k) {
		pthread_t t;
		for (int i = 0; i < 5; i++)
			EQ(pthread_create(&t, NULL, sleep_forever, NULL), 0);
		EQ(pthread_kill(t, SIGTERM), 0);
		sleep_forever(NULL);
	}
	REAP_SIGNAL(k, SIGTERM);
}

static void *fork_in_thread(void *arg)
{
	(void)arg;
	CHILD(k) {
		DIR *d = opendir("/proc/self/task");
		int n = 0;
		for (struct dirent *e; (e = readdir(d));)
			n += e->d_name[0] != '.';
		EQ(n, 1);
		EQ(getpid(), gettid());
	}
	REAP(k);
	return NULL;
}

CASE(fork_copies_only_the_calling_thread)
{
	pthread_t a, b;
	EQ(pthread_create(&a, NULL, sleep_forever, NULL), 0);
	EQ(pthread_create(&b, NULL, fork_in_thread, NULL), 0);
	EQ(pthread_join(b, NULL), 0);
}

CASE(many_threads)
{
	enum { N = 300 };
	static pthread_t t[N];
	pthread_attr_t a;
	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	for (int i = 0; i < N; i++)
		EQ(pthread_create(&t[i], &a, add, (void *)10L), 0);
	for (int i = 0; i < N; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(counter, N * 10);
}

static void *thread_name(void *arg)
{
	char b[16];
	(void)arg;
	OK(prctl(PR_SET_NAME, "worker"));
	OK(prctl(PR_GET_NAME, b));
	return (void *)(long)strcmp(b, "worker");
}

CASE(thread_names_are_their_own)
{
	pthread_t t;
	void *r;
	char b[16];
	OK(prctl(PR_SET_NAME, "a-name-that-is-too-long"));
	OK(prctl(PR_GET_NAME, b));
	STREQ(b, "a-name-that-is-");
	EQ(pthread_create(&t, NULL, thread_name, NULL), 0);
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, 0);
	OK(prctl(PR_GET_NAME, b));
	STREQ(b, "a-name-that-is-");
}

static void *change_cwd(void *arg)
{
	(void)arg;
	OK(chdir("/"));
	return NULL;
}

CASE(threads_share_cwd)
{
	pthread_t t;
	char b[PATH_MAX];
	EQ(pthread_create(&t, NULL, change_cwd, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
	CHECK(getcwd(b, sizeof b));
	STREQ(b, "/");
}

static int pipe_fds[2];
static void *read_pipe(void *arg)
{
	char b;
	(void)arg;
	return (void *)(long)read(pipe_fds[0], &b, 1);
}

CASE(blocked_thread_does_not_block_others)
{
	pthread_t t[4];
	void *r;
	OK(pipe(pipe_fds));
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, read_pipe, NULL), 0);
	msleep(10);
	EQ(write(pipe_fds[1], "abcd", 4), 4);
	for (int i = 0; i < 4; i++) {
		EQ(pthread_join(t[i], &r), 0);
		EQ((long)r, 1);
	}
}

static volatile int spin;
static void *spinner(void *arg)
{
	(void)arg;
	while (!spin)
		;
	return NULL;
}

CASE(spinning_threads_do_not_starve)
{
	pthread_t t[4];
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, spinner, NULL), 0);
	msleep(30);
	spin = 1;
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
}

static void *set_ids(void *arg)
{
	(void)arg;
	OK(syscall(SYS_setresuid, 1000, 1000, 1000)); // of this thread alone
	return (void *)(long)syscall(SYS_getuid);
}

CASE(credentials_are_per_thread_in_the_kernel)
{
	pthread_t t;
	void *r;
	EQ(pthread_create(&t, NULL, set_ids, NULL), 0);
	EQ(pthread_join(t, &r), 0);
	EQ((long)r, 1000);
	EQ(syscall(SYS_getuid), 0);
}

CASE(setuid_of_library_reaches_all_threads)
{
	CHILD(k) {
		pthread_t t;
		EQ(pthread_create(&t, NULL, sleep_forever, NULL), 0);
		OK(setresuid(1000, 1000, 1000)); // signals every thread
		char path[64], b[4096];
		DIR *d = opendir("/proc/self/task");
		for (struct dirent *e; (e = readdir(d));)
			if (e->d_name[0] != '.') {
				snprintf(path, sizeof path, "/proc/self/task/%.20s/status", e->d_name);
				get_file(path, b, sizeof b);
				CHECK(strstr(b, "Uid:\t1000\t1000\t1000\t1000"));
			}
	}
	REAP(k);
}

static void *thread_cpu(void *arg)
{
	struct timespec ts;
	(void)arg;
	do
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	while (ts.tv_nsec < 20000000 && ts.tv_sec == 0);
	struct rusage ru;
	OK(getrusage(RUSAGE_THREAD, &ru));
	CHECK(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec >= 10000 || ru.ru_utime.tv_sec + ru.ru_stime.tv_sec);
	return NULL;
}

CASE(thread_cpu_time)
{
	pthread_t t;
	struct timespec a, b;
	EQ(pthread_create(&t, NULL, thread_cpu, NULL), 0);
	EQ(pthread_join(t, NULL), 0);
	OK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a));
	OK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b));
	CHECK(a.tv_sec > 0 || a.tv_nsec >= 20000000);
	CHECK(a.tv_sec * 1000000000L + a.tv_nsec > b.tv_sec * 1000000000L + b.tv_nsec);
}

CASE(pthread_cancel_blocking_read)
{
	pthread_t t;
	void *r;
	OK(pipe(pipe_fds));
	EQ(pthread_create(&t, NULL, read_pipe, NULL), 0);
	msleep(20);
	EQ(pthread_cancel(t), 0);
	EQ(pthread_join(t, &r), 0);
	CHECK(r == PTHREAD_CANCELED);
}
