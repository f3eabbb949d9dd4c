// Asks for the platform's memory by the usual calls.
#include "hostile.h"

static struct stub *stub;

static void check(uintptr_t a, const char *what, long r) {
	if (r >= 0 || r < -4095) gained("%s at %#lx: %ld", what, a, r);
}

static long raw(long nr, long a, long b, long c, long d, long e, long f) {
	long r = syscall(nr, a, b, c, d, e, f);
	return r == -1 ? -errno : r;
}

static void munmap_all(void *arg) {
	(void)arg;
	raw(SYS_munmap, 0, STUB_END, 0, 0, 0, 0);
	raw(SYS_munmap, 0, STUB_START, 0, 0, 0, 0);
	gained("it lives without memory");
}

static void munmap_rest(void *arg) {
	(void)arg;
	long r = raw(SYS_munmap, STUB_START - (1UL << 30), (STUB_END - STUB_START) + (1UL << 30), 0, 0, 0, 0);
	(void)r; // Linux allows it: nothing of ours is there
	getppid();
}

int main(void) {
	stub = find_stub(0);
	uintptr_t at[64];
	int n = 0;
	for (int i = 0; i < stub->pages && n < 40; i++)
		if (i == 0 || !stub->write[i] || i % 16 == 0) at[n++] = stub->page[i];
	at[n++] = STUB_START;
	at[n++] = STUB_START + (1 << 20);
	at[n++] = STUB_END - PAGE;
	void *own = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < n; i++) {
		uintptr_t a = at[i];
		unsigned char before = readable(a) ? *(volatile unsigned char *)a : 0;
		int was = readable(a), wasw = was && writable(a);
		check(a, "mmap MAP_FIXED", raw(SYS_mmap, a, PAGE, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
		check(a, "mmap MAP_FIXED_NOREPLACE", raw(SYS_mmap, a, PAGE, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
		check(a, "mremap from", raw(SYS_mremap, a, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, (long)own, 0));
		check(a, "mremap to", raw(SYS_mremap, (long)own, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, a, 0));
		check(a, "mremap growing", raw(SYS_mremap, a, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0, 0));
		check(a, "mprotect", raw(SYS_mprotect, a, PAGE, 7, 0, 0, 0));
		check(a, "madvise DONTNEED", raw(SYS_madvise, a, PAGE, MADV_DONTNEED, 0, 0, 0));
		check(a, "madvise REMOVE", raw(SYS_madvise, a, PAGE, 9, 0, 0, 0));
		check(a, "mlock", raw(SYS_mlock, a, PAGE, 0, 0, 0, 0));
		check(a, "write from", raw(SYS_write, 1, a, 1, 0, 0, 0));
		int p[2];
		pipe(p);
		write(p[1], "x", 1);
		check(a, "read to", raw(SYS_read, p[0], a, 1, 0, 0, 0));
		close(p[0]), close(p[1]);
		raw(SYS_munmap, a, PAGE, 0, 0, 0, 0);
		long hint = raw(SYS_mmap, a, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (hint > 0 && (uintptr_t)hint >= STUB_START) gained("mmap's hint gave %#lx", hint);
		if (was != readable(a)) gained("the page at %#lx: readable %d is now %d", a, was, !was);
		if (was && !wasw && writable(a)) gained("the page at %#lx can be written now", a);
		if (was && !wasw && *(volatile unsigned char *)a != before) gained("the code at %#lx has changed", a);
	}
	static char stack[65536];
	stack_t ss = {.ss_sp = (void *)STUB_START, .ss_size = 1 << 20};
	sigaltstack(&ss, NULL);
	ss = (stack_t){.ss_sp = stack, .ss_size = sizeof stack};
	sigaltstack(&ss, NULL);
	sigset_t all;
	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	for (int s = 1; s < 65; s++) signal(s, SIG_IGN);
	for (int i = 0; i < 100; i++) getppid(), munmap(mmap(NULL, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
	for (int s = 1; s < 65; s++) signal(s, SIG_DFL);
	attempt(munmap_all, NULL, 5);
	attempt(munmap_rest, NULL, 5);
	return survived();
}
