// Compares the vDSO's clocks with the kernel's: a reading of one lies between two
// of the other, but for a microsecond.
#define _GNU_SOURCE
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { slack = 1000 };

static long long ns(const struct timespec *t) { return t->tv_sec * 1000000000LL + t->tv_nsec; }

int main(void) {
	static const int clocks[] = {0, 1, 4, 7, 11};
	struct timespec begin, t;
	long long last[12] = {0};
	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		for (int i = 0; i < 5; i++) {
			int id = clocks[i];
			struct timespec a, b, c;
			clock_gettime(id, &a);
			syscall(SYS_clock_gettime, id, &b);
			clock_gettime(id, &c);
			if (ns(&a) > ns(&b) + slack || ns(&b) > ns(&c) + slack) {
				printf("clock %d: %lld, kernel %lld, %lld\n", id, ns(&a), ns(&b), ns(&c));
				return 1;
			}
			// The test's kernel answers when the parameters are too old.
			if (ns(&a) + slack < last[id] || ns(&c) + slack < ns(&a)) {
				printf("clock %d went back from %lld to %lld\n", id, last[id], ns(&a));
				return 1;
			}
			last[id] = ns(&c);
		}
		struct timeval v;
		gettimeofday(&v, NULL);
		long long us = v.tv_sec * 1000000LL + v.tv_usec;
		syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
		if (us * 1000 > ns(&t) + slack) {
			printf("gettimeofday %lld, kernel %lld\n", us, ns(&t));
			return 1;
		}
		clock_gettime(CLOCK_MONOTONIC, &t);
	} while (ns(&t) - ns(&begin) < 1000000000LL);
	puts("ok");
	return 0;
}
