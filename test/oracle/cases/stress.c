// Many things at once: what must hold whatever the order in which they happen.
#include "oracle.h"
#include <sys/epoll.h>
#include <sys/eventfd.h>

#define PAGE 4096UL

static volatile int stop;

static void *map_and_unmap(void *arg)
{
	for (int i = 0; i < 200; i++) {
		size_t n = (1 + (i * 7 + (long)arg) % 20) * PAGE;
		char *m = OK(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		memset(m, (int)(long)arg, n);
		for (size_t j = 0; j < n; j += 512)
			EQ(m[j], (long)arg);
		OK(munmap(m, n));
	}
	return NULL;
}

CASE(threads_map_and_unmap)
{
	pthread_t t[4];
	for (long i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, map_and_unmap, (void *)(i + 1)), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
}

static void *write_memory(void *m)
{
	for (unsigned v = 0; !stop; v++)
		((volatile unsigned *)m)[v % 4096] = v;
	return NULL;
}

CASE(fork_while_a_thread_writes)
{
	unsigned *m = OK(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	pthread_t t;
	EQ(pthread_create(&t, NULL, write_memory, m), 0);
	for (int i = 0; i < 40; i++) {
		CHILD(k) {
			unsigned sum = 0, again = 0;
			for (int j = 0; j < 4096; j++)
				sum += m[j];
			for (int j = 0; j < 4096; j++)
				again += m[j];
			EQ(sum, again); // nobody writes in the copy
		}
		REAP(k);
	}
	stop = 1;
	EQ(pthread_join(t, NULL), 0);
}

static volatile int got_rt;
static void count_rt(int s)
{
	(void)s;
	got_rt++;
}

CASE(realtime_signals_are_all_delivered)
{
	enum { N = 2000 };
	set_handler(SIGRTMIN + 4, count_rt, SA_RESTART);
	CHILD(k) {
		for (int i = 0; i < N; i++) {
			union sigval v = {.sival_int = i};
			while (sigqueue(getppid(), SIGRTMIN + 4, v) < 0)
				EQ(errno, EAGAIN);
		}
	}
	REAP(k);
	WAIT_FOR(got_rt == N);
}

CASE(pipe_ping_pong_between_processes)
{
	int p[2], q[2];
	OK(pipe(p));
	OK(pipe(q));
	CHILD(k) {
		int v;
		for (int i = 0; i < 2000; i++) {
			EQ(read(p[0], &v, sizeof v), sizeof v);
			v++;
			EQ(write(q[1], &v, sizeof v), sizeof v);
		}
	}
	int v = 0;
	for (int i = 0; i < 2000; i++) {
		EQ(write(p[1], &v, sizeof v), sizeof v);
		EQ(read(q[0], &v, sizeof v), sizeof v);
		EQ(v, i + 1);
	}
	REAP(k);
}

static int turn;
static void *futex_partner(void *arg)
{
	int me = (int)(long)arg;
	for (int i = 0; i < 2000; i++) {
		int v;
		while ((v = __atomic_load_n(&turn, __ATOMIC_SEQ_CST)) != me)
			syscall(SYS_futex, &turn, 128, v, NULL, NULL, 0);
		__atomic_store_n(&turn, !me, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &turn, 129, 1, NULL, NULL, 0);
	}
	return NULL;
}

CASE(futex_ping_pong_between_threads)
{
	pthread_t a, b;
	EQ(pthread_create(&a, NULL, futex_partner, (void *)0L), 0);
	EQ(pthread_create(&b, NULL, futex_partner, (void *)1L), 0);
	EQ(pthread_join(a, NULL), 0);
	EQ(pthread_join(b, NULL), 0);
	EQ(turn, 0);
}

CASE(two_hundred_processes_at_once)
{
	enum { N = 200 };
	static pid_t p[N];
	int gate[2];
	char b;
	OK(pipe(gate));
	for (int i = 0; i < N; i++) {
		CHILD(k) {
			OK(close(gate[1]));
			EQ(read(gate[0], &b, 1), 0);
			_exit(i % 100);
		}
		p[i] = k;
	}
	OK(close(gate[1]));
	for (int i = 0; i < N; i++)
		REAP_EXIT(p[i], i % 100);
}

HELPER(zero)
{
	return 0;
}

CASE(exec_again_and_again)
{
	for (int i = 0; i < 60; i++) {
		CHILD(k) {
			execl(self_path, "x", "--helper", "zero", NULL);
			_exit(1);
		}
		REAP(k);
	}
}

static void *create_and_unlink(void *arg)
{
	char name[32], other[32];
	for (int i = 0; i < 150; i++) {
		sprintf(name, "f%d", i % 5);
		sprintf(other, "g%ld.%d", (long)arg, i);
		int fd = OK(open(name, O_CREAT | O_RDWR, 0600));
		OK(close(fd));
		if (rename(name, other) < 0)
			EQ(errno, ENOENT); // another thread was faster
		else
			OK(unlink(other));
	}
	return NULL;
}

CASE(threads_create_rename_unlink)
{
	pthread_t t[4];
	for (long i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, create_and_unlink, (void *)i), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	for (int i = 0; i < 5; i++) {
		char name[32];
		sprintf(name, "f%d", i);
		unlink(name);
	}
	DIR *d = opendir(".");
	int n = 0;
	while (readdir(d))
		n++;
	EQ(n, 2); // nothing is left
}

static void *open_and_close(void *arg)
{
	(void)arg;
	for (int i = 0; i < 500; i++) {
		int fd = OK(open("/dev/null", O_RDWR));
		int d = OK(dup(fd));
		CHECK(fd != d);
		OK(close(fd));
		OK(close(d));
	}
	return NULL;
}

CASE(threads_open_and_close)
{
	pthread_t t[4];
	int before = OK(dup(0));
	OK(close(before));
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, open_and_close, NULL), 0);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
	EQ(dup(0), before); // no descriptor leaked
}

static void *nothing(void *arg)
{
	return arg;
}

CASE(threads_come_and_go)
{
	for (long i = 0; i < 500; i++) {
		pthread_t t;
		void *r;
		EQ(pthread_create(&t, NULL, nothing, (void *)i), 0);
		EQ(pthread_join(t, &r), 0);
		EQ((long)r, i);
	}
}

// What a child does when it is killed.
static void busy_spinning(void)
{
	for (;;)
		;
}
static void busy_calling(void)
{
	for (;;)
		getppid();
}
static void busy_faulting(void)
{
	for (;;) {
		char *m = mmap(NULL, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (int i = 0; i < 64; i++)
			m[i * PAGE] = 1;
		munmap(m, 64 * PAGE);
	}
}
static void busy_forking(void)
{
	for (;;) {
		pid_t k = fork();
		if (k == 0)
			_exit(0);
		waitpid(k, NULL, 0);
	}
}
static void busy_signalling(void)
{
	set_handler(SIGUSR1, count_rt, 0);
	for (;;)
		raise(SIGUSR1);
}
static void busy_threads(void)
{
	for (;;) {
		pthread_t t;
		if (pthread_create(&t, NULL, nothing, NULL) == 0)
			pthread_join(t, NULL);
	}
}
static void busy_sleeping(void)
{
	for (;;)
		pause();
}

CASE(sigkill_in_every_state)
{
	void (*state[])(void) = {busy_spinning, busy_calling, busy_faulting, busy_forking, busy_signalling, busy_threads, busy_sleeping};
	for (int i = 0; i < 42; i++) {
		CHILD(k) {
			state[i % 7]();
		}
		msleep(i % 5);
		OK(kill(k, SIGKILL));
		REAP_SIGNAL(k, SIGKILL);
	}
}

CASE(epoll_serves_many_pipes)
{
	enum { N = 60, ROUNDS = 20 };
	int p[N][2], got[N] = {0}, ep = OK(epoll_create1(0));
	for (int i = 0; i < N; i++) {
		struct epoll_event e = {EPOLLIN, {.u32 = i}};
		OK(pipe2(p[i], O_NONBLOCK));
		OK(epoll_ctl(ep, EPOLL_CTL_ADD, p[i][0], &e));
	}
	CHILD(k) {
		for (int r = 0; r < ROUNDS; r++)
			for (int i = 0; i < N; i++)
				EQ(write(p[i * 7 % N][1], "x", 1), 1);
	}
	for (int total = 0; total < N * ROUNDS;) {
		struct epoll_event e[8];
		int n = OK(epoll_wait(ep, e, 8, 15000));
		CHECK(n > 0);
		for (int j = 0; j < n; j++) {
			char b[16];
			int r = OK(read(p[e[j].data.u32][0], b, 16));
			got[e[j].data.u32] += r;
			total += r;
		}
	}
	int sum = 0;
	for (int i = 0; i < N; i++)
		sum += got[i];
	EQ(sum, N * ROUNDS);
	REAP(k);
}

static int ev;
static void *add_to_eventfd(void *arg)
{
	uint64_t one = 1;
	for (int i = 0; i < 500; i++)
		EQ(write(ev, &one, 8), 8);
	return arg;
}

CASE(eventfd_loses_nothing)
{
	pthread_t t[4];
	uint64_t sum = 0, v;
	ev = OK(eventfd(0, 0));
	for (int i = 0; i < 4; i++)
		EQ(pthread_create(&t[i], NULL, add_to_eventfd, NULL), 0);
	while (sum < 2000) {
		EQ(read(ev, &v, 8), 8);
		sum += v;
	}
	EQ(sum, 2000);
	for (int i = 0; i < 4; i++)
		EQ(pthread_join(t[i], NULL), 0);
}

static void *protect_and_release(void *m)
{
	while (!stop) {
		mprotect(m, PAGE, PROT_READ);
		mprotect(m, PAGE, PROT_READ | PROT_WRITE);
	}
	return NULL;
}

CASE(system_call_reads_while_protection_changes)
{
	char *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	int p[2];
	pthread_t t;
	OK(pipe(p));
	EQ(pthread_create(&t, NULL, protect_and_release, m), 0);
	for (int i = 0; i < 300; i++) {
		EQ(write(p[1], m, 8), 8); // always readable
		int r = read(p[0], m, 8); // sometimes not writable
		CHECK(r == 8 || (r == -1 && errno == EFAULT));
		char rest[64];
		if (r < 0)
			OK(fcntl(p[0], F_SETFL, O_NONBLOCK)), read(p[0], rest, 64), OK(fcntl(p[0], F_SETFL, 0));
	}
	stop = 1;
	EQ(pthread_join(t, NULL), 0);
}

CASE(signals_while_system_calls_run)
{
	int p[2];
	char b;
	OK(pipe(p));
	set_handler(SIGALRM, on_tick, SA_RESTART);
	struct itimerval it = {{0, 1000}, {0, 1000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	for (int i = 0; i < 3000 || ticks < 10; i++) {
		EQ(write(p[1], "z", 1), 1);
		EQ(read(p[0], &b, 1), 1);
		EQ(b, 'z');
		EQ(syscall(SYS_getppid), getppid());
	}
	stop_ticks();
}

CASE(file_grows_and_shrinks_under_readers)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	CHILD(k) {
		for (int i = 0; i < 300; i++) {
			OK(ftruncate(fd, (i % 10) * 1000));
			EQ(pwrite(fd, "data", 4, 500), 4);
		}
	}
	char b[20000];
	int st;
	while (waitpid(k, &st, WNOHANG) == 0) {
		int n = OK(pread(fd, b, sizeof b, 0));
		CHECK(n <= 9000);
	}
	EQ(st, 0);
}
