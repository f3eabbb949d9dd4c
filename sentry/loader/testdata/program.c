// Looks at what execve(2) has prepared, and uses data, bss, heap, stack, a
// constructor, thread-local storage and the vDSO.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <time.h>

static int data[3000] = {1, 2, 3};
static int bss[100000];
static __thread int tls = 7;
static int constructed;

__attribute__((constructor)) static void construct(void) { constructed = 1; }

static int deep(int n) {
	volatile char frame[4096];
	memset((char *)frame, n, sizeof frame);
	return n == 0 ? frame[0] : deep(n - 1) + (frame[5] == (char)n);
}

int main(int argc, char **argv, char **envp) {
	if (!constructed || tls != 7 || data[2] != 3)
		return 10;
	for (int i = 0; i < 100000; i++)
		if (bss[i] != 0)
			return 11;
	bss[99999] = data[2999] = tls = 1;
	if (deep(500) != 500)
		return 12;
	char *p = malloc(3 << 20), *q = calloc(100, 1000);
	memset(p, 1, 3 << 20);
	if (p == NULL || q == NULL || q[99999] != 0)
		return 13;
	struct timespec a, b;
	for (int i = 0; i < 1000; i++)
		if (clock_gettime(CLOCK_MONOTONIC, &a) || clock_gettime(CLOCK_MONOTONIC, &b) ||
		    b.tv_sec < a.tv_sec || (b.tv_sec == a.tv_sec && b.tv_nsec < a.tv_nsec))
			return 14;
	for (int i = 0; i < argc; i++)
		printf("argv[%d]=%s\n", i, argv[i]);
	for (; *envp; envp++)
		printf("env %s\n", *envp);
	printf("execfn %s platform %s secure %lu uid %lu\n", (char *)getauxval(AT_EXECFN), (char *)getauxval(AT_PLATFORM), getauxval(AT_SECURE), getauxval(AT_UID));
	fflush(stdout);
	return 42;
}
