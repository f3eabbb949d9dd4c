#!/bin/bash
# gcc and make -j4: a program of many files, a shared library, threads; then the programs run.
set -euo pipefail
cd "$(mktemp -d /var/tmp/gcc.XXXXXX)"

for i in {1..16}; do
	cat >part$i.c <<END
#include "all.h"
#include <stdlib.h>
#include <string.h>
static int cmp(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
long part$i(int n)
{
	int *v = malloc(n * sizeof *v);
	unsigned x = $i;
	for (int j = 0; j < n; j++) { x = x * 1103515245u + 12345u; v[j] = x >> 8; }
	qsort(v, n, sizeof *v, cmp);
	long s = 0;
	for (int j = 0; j < n; j++) s = s * 31 + v[j];
	free(v);
	return s;
}
END
done
for i in {1..16}; do echo "long part$i(int n);"; done >all.h
cat >main.c <<'END'
#include "all.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <dlfcn.h>
static long results[16];
static long (*parts[])(int) = { part1, part2, part3, part4, part5, part6, part7, part8,
	part9, part10, part11, part12, part13, part14, part15, part16 };
static void *run(void *p)
{
	long i = (long)p;
	results[i] = parts[i](20000);
	return p;
}
int main(void)
{
	pthread_t t[16];
	for (long i = 0; i < 16; i++) if (pthread_create(&t[i], 0, run, (void *)i)) return 1;
	for (int i = 0; i < 16; i++) pthread_join(t[i], 0);
	for (int i = 0; i < 16; i++) printf("%d %ld\n", i, results[i]);
	printf("%.6f\n", sin(1) + cbrt(27));
	void *h = dlopen("./libplug.so", RTLD_NOW);
	if (!h) { puts(dlerror()); return 1; }
	int (*plug)(int) = (int (*)(int))dlsym(h, "plug");
	printf("plug: %d\n", plug(20));
	return 0;
}
END
echo 'int plug(int x) { return 2 * x + 2; }' >plug.c
cat >Makefile <<'END'
CFLAGS := -O2 -Wall -pthread
OBJECTS := main.o $(patsubst %.c,%.o,$(wildcard part*.c))
all: prog prog-static libplug.so
prog: $(OBJECTS)
	$(CC) -pthread -o $@ $^ -lm -ldl
prog-static: plugmain.c
	$(CC) -static -o $@ $<
libplug.so: plug.c
	$(CC) -shared -fPIC -o $@ $<
$(OBJECTS): all.h
clean:
	rm -f *.o prog prog-static libplug.so
END
cat >plugmain.c <<'END'
#include <stdio.h>
#include <unistd.h>
int main(int c, char **v) { printf("static %d %s\n", c, v[1]); fflush(stdout); execl("./prog", "prog", NULL); return 1; }
END
make -j4 >log 2>&1 || { cat log; exit 1; }
sort log | grep -c '^cc'
./prog-static argument
make -j4 | sed "s,\[[0-9]*\],,"
touch -d '+1 minute' part3.c
make -n 2>/dev/null | grep -c '^cc'
echo 'int broken( {' >part5.c
if make -j4 >log 2>&1; then echo "should fail"; else echo "make fails: $?"; fi
grep -c 'part5.c:1:.*error' log
make clean >/dev/null && find . -name '*.o' | wc -l
echo 'int main(void) { return *(volatile int *)0; }' | gcc -xc - -o crash
{ ./crash; } 2>/dev/null || echo "crash: $?"
gcc -dumpmachine
echo 'int main(void){__builtin_trap();}' | gcc -xc - -g -o trap && { { ./trap; } 2>/dev/null || echo "trap: $?"; }
