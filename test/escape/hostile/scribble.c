// One thread makes calls of all kinds while others change the pages that the
// platform shares with the process.
#include "hostile.h"
#include <pthread.h>

static struct stub *stub;
static uintptr_t pages[8192];
static int count;
static int style;

static void *scribbler(void *arg) {
	uint64_t x = (uint64_t)arg * 0x9e3779b97f4a7c15UL + 1;
	for (;;) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		// Mostly the first threads' areas.
		uintptr_t p = pages[x % (x & 0x70000 ? (count < 16 ? count : 16) : count)];
		volatile uint64_t *at = (uint64_t *)(p + ((x >> 20) & 0xff8));
		switch (style) {
		case 0: *at = x; break;
		case 1: *at = x >> 56; break;
		case 2: *at ^= 1UL << (x >> 50) % 64; break;
		case 3: *(volatile uint32_t *)(p + 64) = x >> 62; *(volatile uint32_t *)(p + 192) = 1; *(volatile uint32_t *)(p + 68) = (x >> 40) % 450; break;
		case 4: for (int i = 0; i < 512; i++) ((volatile uint64_t *)p)[i] = x; break;
		}
	}
	return NULL;
}

static void ignore(int sig) { (void)sig; }

static void *caller(void *arg) {
	(void)arg;
	for (;;) {
		getppid();
		void *m = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m != MAP_FAILED) {
			memset(m, 1, 4 * PAGE);
			mprotect(m, PAGE, PROT_READ);
			munmap(m, 4 * PAGE);
		}
		raise(SIGUSR2);
		readable(8);
		pid_t pid = syscall(SYS_fork);
		if (pid == 0) syscall(SYS_exit_group, 0);
		if (pid > 0) waitpid(pid, NULL, 0);
		for (int i = 0; i < 50; i++) syscall(SYS_getuid);
	}
	return NULL;
}

static void go(void *arg) {
	long seed = (long)arg;
	style = seed % 5;
	signal(SIGUSR2, ignore);
	pthread_t t;
	for (long i = 0; i < 2; i++) pthread_create(&t, NULL, scribbler, (void *)(seed * 7 + i));
	if (seed % 3 == 0) pthread_create(&t, NULL, caller, NULL);
	caller(NULL);
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 25;
	unprivileged(64);
	stub = find_stub(0);
	for (int i = 0; i < stub->pages; i++)
		if (stub->write[i]) pages[count++] = stub->page[i];
	printf("%d pages to write to\n", count);
	if (count == 0) return survived();
	for (long i = 0; i < rounds; i++) attempt(go, (void *)i, 0.5);
	return survived();
}
