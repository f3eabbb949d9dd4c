// A thousand threads, hundreds of processes: what ends them ends all of them, and soon.
#include "oracle.h"

#define THREADS 1000
#define PROCESSES 200

static int started[2]; // a pipe: every thread or process writes a byte

static void say(void)
{
	char c = 0;
	EQ(write(started[1], &c, 1), 1);
}

static void hear(int n)
{
	char b[256];
	while (n > 0) {
		ssize_t got = OK(read(started[0], b, n < 256 ? n : 256));
		CHECK(got > 0);
		n -= got;
	}
}

static int closed[2]; // a pipe without data

static void *wait_in_pause(void *arg)
{
	(void)arg;
	say();
	for (;;)
		pause();
}

static void *wait_in_read(void *arg)
{
	char c;
	(void)arg;
	say();
	read(closed[0], &c, 1);
	return NULL;
}

static void *compute(void *arg)
{
	(void)arg;
	say();
	for (;;)
		__asm__ volatile("");
}

static void make_threads(int n, int spinning)
{
	pthread_attr_t a;
	pthread_t t;
	pthread_attr_init(&a);
	EQ(pthread_attr_setstacksize(&a, 65536), 0);
	OK(pipe(closed));
	for (int i = 0; i < n; i++)
		EQ(pthread_create(&t, &a, i < spinning ? compute : i % 2 ? wait_in_pause : wait_in_read, NULL), 0);
}

CASE(kill_of_a_thousand_threads)
{
	OK(pipe(started));
	CHILD(k) {
		make_threads(THREADS, 0);
		pause();
	}
	hear(THREADS);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(kill_of_many_threads_that_compute)
{
	OK(pipe(started));
	CHILD(k) {
		make_threads(60, 20);
		compute(NULL);
	}
	hear(60);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(exit_group_of_a_thousand_threads)
{
	OK(pipe(started));
	CHILD(k) {
		make_threads(THREADS, 2);
		hear(THREADS);
		exit(7);
	}
	REAP_EXIT(k, 7);
}

HELPER(after_threads) { return argc == 1 ? 8 : 1; }

CASE(exec_among_hundreds_of_threads)
{
	OK(pipe(started));
	CHILD(k) {
		make_threads(300, 2);
		hear(300);
		execl(self_path, self_path, "--helper", "after_threads", NULL);
	}
	REAP_EXIT(k, 8);
}

CASE(hundreds_of_processes)
{
	static pid_t k[PROCESSES];
	OK(pipe(started));
	for (int i = 0; i < PROCESSES; i++) {
		k[i] = OK(fork());
		if (k[i] == 0) {
			say();
			if (i % 50 == 0)
				compute(NULL);
			pause();
		}
	}
	hear(PROCESSES);
	for (int i = 0; i < PROCESSES; i++)
		OK(kill(k[i], i % 2 ? SIGKILL : SIGTERM));
	for (int i = 0; i < PROCESSES; i++)
		REAP_SIGNAL(k[i], i % 2 ? SIGKILL : SIGTERM);
}

static volatile int alarms;
static void on_alarm(int s)
{
	(void)s;
	alarms++;
}

CASE(endless_loop_is_interrupted)
{
	struct sigaction sa = {.sa_handler = on_alarm};
	OK(sigaction(SIGALRM, &sa, NULL));
	OK(pipe(started));
	pthread_t t;
	for (int i = 0; i < 8; i++) // more than there are processors, perhaps
		EQ(pthread_create(&t, NULL, compute, NULL), 0);
	struct itimerval it = {{0, 5000}, {0, 5000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
	while (alarms < 5)
		;
}
