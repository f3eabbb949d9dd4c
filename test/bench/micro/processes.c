// Processes and threads.
#include "micro.h"
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void fork_wait(long n)
{
	start();
	while (n--) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child)
			_exit(0);
		waitpid(child, NULL, 0);
	}
	stop();
}

static void spawn(long n, const char *path, char *const argv[])
{
	start();
	while (n--) {
		pid_t child = vfork();
		CHECK(child >= 0);
		if (!child) {
			execv(path, argv);
			_exit(127);
		}
		int status;
		CHECK(waitpid(child, &status, 0) == child && status == 0);
	}
	stop();
}

static void spawn_static(long n) { spawn(n, "/proc/self/exe", (char *[]){ "micro", "true", NULL }); }
static void spawn_true(long n) { spawn(n, "/bin/true", (char *[]){ "true", NULL }); }
static void spawn_shell(long n) { spawn(n, "/bin/sh", (char *[]){ "sh", "-c", "/bin/true; /bin/true; /bin/true", NULL }); }

static void *nothing(void *p) { return p; }

static void thread(long n)
{
	start();
	while (n--) {
		pthread_t t;
		CHECK(!pthread_create(&t, NULL, nothing, NULL));
		pthread_join(t, NULL);
	}
	stop();
}

static atomic_int turn;

static void hand_over(int me, long n)
{
	while (n--) {
		while (atomic_load(&turn) != me)
			syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, !me, NULL, NULL, 0);
		atomic_store(&turn, !me);
		syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

static void *second(void *n)
{
	hand_over(1, *(long *)n);
	return NULL;
}

static void futex_turns(long n)
{
	pthread_t t;
	atomic_store(&turn, 0);
	CHECK(!pthread_create(&t, NULL, second, &n));
	start();
	hand_over(0, n);
	stop();
	pthread_join(t, NULL);
}

static void yield(long n)
{
	start();
	while (n--)
		sched_yield();
	stop();
}

const struct measurement processes[] = {
	{ "fork_wait", fork_wait },
	{ "spawn_static", spawn_static },
	{ "spawn_bin_true", spawn_true },
	{ "spawn_sh_3_true", spawn_shell },
	{ "thread_create_join", thread },
	{ "futex_turns", futex_turns },
	{ "sched_yield", yield },
	{ NULL, NULL },
};
