// Prints what the C library's time functions return, which it takes from the vDSO.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <sys/time.h>
#include <time.h>

int main(void) {
	for (int id = 0; id < 12; id++) {
		struct timespec t;
		if (id == 2 || id == 3 || id == 8 || id == 9 || id == 10)
			continue;
		if (clock_gettime(id, &t) != 0)
			return 1;
		printf("clock %d %ld.%09ld\n", id, (long)t.tv_sec, t.tv_nsec);
		if (clock_getres(id, &t) != 0 || clock_getres(id, NULL) != 0)
			return 2;
		printf("res %d %ld.%09ld\n", id, (long)t.tv_sec, t.tv_nsec);
	}
	struct timespec ts;
	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) != 0 || ts.tv_sec != 0)
		return 3;
	if (clock_gettime(99, &ts) != -1 || errno != EINVAL)
		return 4;
	if (clock_getres(99, &ts) != -1 || errno != EINVAL)
		return 5;
	if (clock_gettime(-1, &ts) != -1 || errno != EINVAL)
		return 6;
	struct timeval tv;
	struct timezone tz = {1, 1};
	if (gettimeofday(&tv, NULL) != 0)
		return 7;
	printf("gettimeofday %ld.%06ld\n", (long)tv.tv_sec, (long)tv.tv_usec);
	if (gettimeofday(NULL, &tz) != 0)
		return 8;
	time_t a, b = time(&a);
	if (a != b)
		return 9;
	printf("time %ld\n", (long)b);
	for (int cpu = 0; cpu < 1024; cpu++) {
		cpu_set_t set;
		CPU_ZERO(&set);
		CPU_SET(cpu, &set);
		unsigned c = -1, n = -1;
		if (sched_setaffinity(0, sizeof(set), &set) != 0)
			continue;
		if (getcpu(&c, &n) != 0 || c != (unsigned)cpu || sched_getcpu() != cpu)
			return 10;
	}
#ifndef STATIC
	void *h = dlopen("linux-vdso.so.1", RTLD_LAZY | RTLD_NOLOAD);
	if (h == NULL)
		return 11;
	long (*f)(long *) = dlvsym(h, "__vdso_time", "LINUX_2.6");
	if (f == NULL || dlsym(h, "time") != (void *)f || dlsym(h, "no_such") != NULL)
		return 12;
	printf("dlvsym %ld\n", f(NULL));
#endif
	return 0;
}
