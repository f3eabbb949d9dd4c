// micro NAME prints how many nanoseconds one operation of a measurement takes. It does as
// many as take about 150 ms. micro alone lists the names; micro true does nothing.
#include "micro.h"
#include <time.h>

static double began, took;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

void start(void) { began = now(); }
void stop(void) { took = now() - began; }

void fail(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	_exit(1);
}

static void measure(void (*run)(long))
{
	const double enough = 150e6;
	long n = 1;
	for (int first = 1;; first = 0) {
		run(n);
		if (!first && (took >= enough / 2 || n > 1L << 30))
			break;
		double more = took > 0 ? enough / took : 100;
		n = (long)(n * (more > 20 ? 20 : more < 1 ? 1 : more)) + 1;
	}
	printf("%.1f\n", took / n);
}

int main(int argc, char **argv)
{
	const struct measurement *families[] = { calls, files, memory, processes, messages };
	if (argc > 1 && !strcmp(argv[1], "true"))
		return 0;
	for (size_t i = 0; i < sizeof families / sizeof *families; i++) {
		for (const struct measurement *m = families[i]; m->name; m++) {
			if (argc < 2) {
				puts(m->name);
			} else if (!strcmp(argv[1], m->name)) {
				measure(m->run);
				return 0;
			}
		}
	}
	if (argc < 2)
		return 0;
	fprintf(stderr, "no measurement %s\n", argv[1]);
	return 2;
}
