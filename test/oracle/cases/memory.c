// mprotect(2), mremap(2), madvise(2), brk(2), mlock(2), stack growth, copy-on-write,
// process_vm_readv(2).
#include "oracle.h"
#include <setjmp.h>
#include <sys/resource.h>

#define PAGE 4096UL

static sigjmp_buf env;
static volatile sig_atomic_t fault_sig;

static void on_fault(int s)
{
	fault_sig = s;
	siglongjmp(env, 1);
}

static int probe(volatile char *p, int wr)
{
	set_handler(SIGSEGV, on_fault, SA_ONSTACK);
	set_handler(SIGBUS, on_fault, SA_ONSTACK);
	fault_sig = 0;
	if (sigsetjmp(env, 1) == 0) {
		if (wr)
			*p = 1;
		else
			(void)*p;
	}
	return fault_sig;
}

static char *anon(size_t n, int flags)
{
	return OK(mmap(NULL, n, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0));
}

CASE(mprotect_changes)
{
	char *m = anon(3 * PAGE, MAP_PRIVATE);
	memset(m, 'a', 3 * PAGE);
	OK(mprotect(m + PAGE, PAGE, PROT_READ));
	EQ(probe(m + PAGE, 1), SIGSEGV);
	EQ(probe(m + PAGE, 0), 0);
	EQ(probe(m, 1), 0);
	EQ(probe(m + 2 * PAGE, 1), 0);
	OK(mprotect(m, 3 * PAGE, PROT_NONE));
	EQ(probe(m, 0), SIGSEGV);
	OK(mprotect(m, 3 * PAGE, PROT_READ | PROT_WRITE));
	EQ(m[PAGE], 'a'); // content is kept
}

CASE(mprotect_errors)
{
	char *m = anon(3 * PAGE, MAP_PRIVATE);
	ERR(mprotect(m + 1, PAGE, PROT_READ), EINVAL);
	ERR(mprotect(m, PAGE, 0x100), EINVAL);
	OK(mprotect(m, 0, PROT_READ));
	OK(munmap(m + PAGE, PAGE));
	ERR(mprotect(m, 3 * PAGE, PROT_READ), ENOMEM);
	EQ(probe(m, 1), SIGSEGV); // what came before the hole was changed
	put_file("f", "x");
	int fd = OK(open("f", O_RDONLY));
	char *s = OK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0));
	ERR(mprotect(s, PAGE, PROT_READ | PROT_WRITE), EACCES);
	char *p = OK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0));
	OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
}

CASE(mprotect_in_other_threads_view)
{
	char *m = anon(PAGE, MAP_PRIVATE);
	for (int i = 0; i < 100; i++) {
		OK(mprotect(m, PAGE, PROT_READ));
		EQ(probe(m, 1), SIGSEGV);
		OK(mprotect(m, PAGE, PROT_READ | PROT_WRITE));
		EQ(probe(m, 1), 0);
	}
}

CASE(mremap_shrink_and_grow)
{
	char *m = anon(8 * PAGE, MAP_PRIVATE);
	memset(m, 'x', 8 * PAGE);
	CHECK(mremap(m, 8 * PAGE, 4 * PAGE, 0) == m);
	EQ(probe(m + 4 * PAGE, 0), SIGSEGV);
	CHECK(mremap(m, 4 * PAGE, 6 * PAGE, 0) == m); // there is room
	EQ(m[3 * PAGE], 'x');
	EQ(m[4 * PAGE], 0);
	CHECK(mremap(m, 6 * PAGE, 6 * PAGE, 0) == m);
}

CASE(mremap_must_move)
{
	char *m = anon(4 * PAGE, MAP_PRIVATE);
	memset(m, 'x', 4 * PAGE);
	ERR(mremap(m, 2 * PAGE, 3 * PAGE, 0), ENOMEM);
	char *n = OK(mremap(m, 2 * PAGE, 10 * PAGE, MREMAP_MAYMOVE));
	CHECK(n != m);
	EQ(probe(m, 0), SIGSEGV);
	EQ(probe(m + 2 * PAGE, 0), 0);
	EQ(n[0], 'x');
	EQ(n[2 * PAGE - 1], 'x');
	EQ(n[2 * PAGE], 0);
}

CASE(mremap_fixed)
{
	char *m = anon(2 * PAGE, MAP_PRIVATE), *t = anon(4 * PAGE, MAP_PRIVATE);
	m[0] = 'm';
	t[0] = t[3 * PAGE] = 't';
	CHECK(mremap(m, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, t) == t);
	EQ(t[0], 'm');
	EQ(t[3 * PAGE], 't');
	ERR(mremap(t, PAGE, PAGE, MREMAP_FIXED, m), EINVAL);
	ERR(mremap(t, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, t + PAGE), EINVAL);
	ERR(mremap(t, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, t + 1), EINVAL);
}

CASE(mremap_errors)
{
	char *m = anon(2 * PAGE, MAP_PRIVATE);
	ERR(mremap(m + 1, PAGE, PAGE, 0), EINVAL);
	ERR(mremap(m, PAGE, 0, 0), EINVAL);
	ERR(mremap(m, PAGE, PAGE, 0x80), EINVAL);
	ERR(mremap(m, 0, PAGE, MREMAP_MAYMOVE), EINVAL); // a copy of a private mapping
	OK(munmap(m, 2 * PAGE));
	ERR(mremap(m, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EFAULT);
	m = anon(4 * PAGE, MAP_PRIVATE);
	OK(mprotect(m + PAGE, PAGE, PROT_READ));
	ERR(mremap(m, 3 * PAGE, 5 * PAGE, MREMAP_MAYMOVE), EFAULT); // several mappings
}

CASE(mremap_shared_duplicate)
{
	char *m = anon(PAGE, MAP_SHARED);
	char *n = OK(mremap(m, 0, PAGE, MREMAP_MAYMOVE));
	CHECK(n != m);
	m[0] = 5;
	EQ(n[0], 5);
}

CASE(mremap_file_mapping_grows)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 4 * PAGE));
	EQ(pwrite(fd, "z", 1, 3 * PAGE), 1);
	char *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	m = OK(mremap(m, PAGE, 4 * PAGE, MREMAP_MAYMOVE));
	EQ(m[3 * PAGE], 'z');
}

CASE(mremap_dontunmap)
{
	char *m = anon(2 * PAGE, MAP_PRIVATE);
	m[0] = 'k';
	char *n = (char *)OK(syscall(SYS_mremap, m, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | 4, NULL));
	CHECK(n != m);
	EQ(n[0], 'k');
	EQ(m[0], 0); // still mapped, its pages are gone
}

CASE(madvise_dontneed)
{
	char *m = anon(4 * PAGE, MAP_PRIVATE);
	memset(m, 'x', 4 * PAGE);
	OK(madvise(m + PAGE, 2 * PAGE, MADV_DONTNEED));
	EQ(m[0], 'x');
	EQ(m[PAGE], 0);
	EQ(m[2 * PAGE], 0);
	EQ(m[3 * PAGE], 'x');
	char *s = anon(PAGE, MAP_SHARED);
	s[0] = 'y';
	OK(madvise(s, PAGE, MADV_DONTNEED));
	EQ(s[0], 'y'); // shared memory keeps its pages
	put_file("f", "file");
	int fd = OK(open("f", O_RDWR));
	char *p = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	p[0] = 'X';
	OK(madvise(p, PAGE, MADV_DONTNEED));
	EQ(p[0], 'f'); // the file's content again
}

CASE(madvise_errors)
{
	char *m = anon(3 * PAGE, MAP_PRIVATE);
	ERR(madvise(m + 1, PAGE, MADV_DONTNEED), EINVAL);
	ERR(madvise(m, PAGE, 9999), EINVAL);
	OK(madvise(m, 0, MADV_DONTNEED));
	OK(munmap(m + PAGE, PAGE));
	m[0] = 1;
	m[2 * PAGE] = 1;
	ERR(madvise(m, 3 * PAGE, MADV_DONTNEED), ENOMEM);
	EQ(m[0], 0);
	EQ(m[2 * PAGE], 0); // all that was mapped has been treated
	int hints[] = {MADV_NORMAL, MADV_RANDOM, MADV_SEQUENTIAL, MADV_WILLNEED};
	for (int i = 0; i < 4; i++)
		OK(madvise(m, PAGE, hints[i]));
}

CASE(madvise_remove_and_free)
{
	char *s = anon(2 * PAGE, MAP_SHARED);
	memset(s, 'x', 2 * PAGE);
	OK(madvise(s, PAGE, MADV_REMOVE));
	EQ(s[0], 0);
	EQ(s[PAGE], 'x');
	char *m = anon(PAGE, MAP_PRIVATE);
	ERR(madvise(m, PAGE, MADV_REMOVE), EINVAL);
	m[0] = 'a';
	OK(madvise(m, PAGE, MADV_FREE));
	CHECK(m[0] == 'a' || m[0] == 0);
	m[0] = 'b';
	EQ(m[0], 'b');
	ERR(madvise(s, PAGE, MADV_FREE), EINVAL);
}

CASE(madvise_dontfork_and_wipeonfork)
{
	char *d = anon(PAGE, MAP_PRIVATE), *w = anon(PAGE, MAP_PRIVATE);
	d[0] = w[0] = 'x';
	OK(madvise(d, PAGE, MADV_DONTFORK));
	OK(madvise(w, PAGE, MADV_WIPEONFORK));
	CHILD(k) {
		EQ(probe(d, 0), SIGSEGV);
		EQ(w[0], 0);
	}
	REAP(k);
	EQ(d[0], 'x');
	EQ(w[0], 'x');
}

CASE(brk_grows_and_shrinks)
{
	char *start = (char *)syscall(SYS_brk, 0);
	char *up = (char *)(((uintptr_t)start + 4 * PAGE) & ~(PAGE - 1));
	CHECK((char *)syscall(SYS_brk, up) == up);
	up[-1] = 7;
	CHECK((char *)syscall(SYS_brk, up + 100) == up + 100); // any byte
	up[50] = 8;
	CHECK((char *)syscall(SYS_brk, up) == up);
	EQ(probe(up + 50, 0), SIGSEGV);
	CHECK((char *)syscall(SYS_brk, up + PAGE) == up + PAGE);
	EQ(up[50], 0); // comes back empty
	CHECK((char *)syscall(SYS_brk, start) == start);
	CHECK((char *)syscall(SYS_brk, 1) == start); // refused: the old one
	CHECK((char *)syscall(SYS_brk, -1L) == start);
}

CASE(brk_limited_by_rlimit_data)
{
	CHILD(k) {
		char *start = (char *)syscall(SYS_brk, 0);
		struct rlimit rl = {1 << 20, 1 << 20};
		OK(setrlimit(RLIMIT_DATA, &rl));
		CHECK((char *)syscall(SYS_brk, start + (4 << 20)) == start);
	}
	REAP(k);
}

CASE(brk_stops_at_other_mapping)
{
	CHILD(k) {
		char *start = (char *)syscall(SYS_brk, 0);
		char *top = (char *)(((uintptr_t)start + 20 * PAGE) & ~(PAGE - 1));
		OK(mmap(top, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
		CHECK((char *)syscall(SYS_brk, top + PAGE) == start);
	}
	REAP(k);
}

__attribute__((noinline)) static long deep(int n)
{
	volatile char b[8192];
	b[0] = n;
	b[8191] = n;
	return n == 0 ? 0 : deep(n - 1) + b[0] + b[8191];
}

CASE(stack_grows)
{
	CHECK(deep(500) != 1); // 4 MB
}

CASE(stack_limit_ends_growth)
{
	CHILD(k) {
		struct rlimit rl;
		OK(getrlimit(RLIMIT_STACK, &rl));
		rl.rlim_cur = 512 << 10;
		OK(setrlimit(RLIMIT_STACK, &rl));
		deep(500);
	}
	REAP_SIGNAL(k, SIGSEGV);
}

CASE(stack_jump_far_below_pointer)
{
	// a single access far below the stack pointer grows the stack as well
	char here;
	volatile uintptr_t at = (uintptr_t)&here - (1 << 20);
	volatile char *p = (volatile char *)at;
	*p = 3;
	EQ(*p, 3);
}

CASE(mmap_growsdown)
{
	char *area = anon(64 * PAGE, MAP_PRIVATE);
	OK(munmap(area, 64 * PAGE));
	// leave more than the guard gap (256 pages) free below
	char *m = OK(mmap((void *)0x300000000000, PAGE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0));
	EQ(probe(m - 1, 1), 0);
	EQ(probe(m - 3 * PAGE, 1), 0);
	EQ(m[-1], 1);
}

CASE(cow_after_fork)
{
	enum { N = 64 };
	char *m = anon(N * PAGE, MAP_PRIVATE);
	int p[2];
	char b;
	memset(m, 'o', N * PAGE);
	OK(pipe(p));
	CHILD(k) {
		for (int i = 0; i < N; i += 2)
			m[i * PAGE] = 'c';
		EQ(read(p[0], &b, 1), 1);
		for (int i = 0; i < N; i++)
			EQ(m[i * PAGE], i % 2 ? 'o' : 'c');
	}
	for (int i = 0; i < N; i += 3)
		m[i * PAGE] = 'p';
	EQ(write(p[1], "x", 1), 1);
	REAP(k);
	for (int i = 0; i < N; i++)
		EQ(m[i * PAGE], i % 3 ? 'o' : 'p');
}

CASE(cow_grandchildren)
{
	char *m = anon(PAGE, MAP_PRIVATE);
	m[0] = 1;
	CHILD(a) {
		m[0] = 2;
		CHILD(b) {
			EQ(m[0], 2);
			m[0] = 3;
			CHILD(c) {
				EQ(m[0], 3);
				m[0] = 4;
			}
			REAP(c);
			EQ(m[0], 3);
		}
		REAP(b);
		EQ(m[0], 2);
	}
	REAP(a);
	EQ(m[0], 1);
}

CASE(cow_by_system_call)
{
	char *m = anon(PAGE, MAP_PRIVATE);
	int p[2], q[2];
	OK(pipe(p));
	OK(pipe(q));
	memset(m, 'a', PAGE);
	CHILD(k) {
		char b;
		EQ(read(q[0], &b, 1), 1);
		EQ(m[10], 'a'); // the parent's read(2) went to a page of its own
	}
	EQ(write(p[1], "zzzz", 4), 4);
	EQ(read(p[0], m + 8, 4), 4);
	EQ(m[10], 'z');
	EQ(write(q[1], "x", 1), 1);
	REAP(k);
}

CASE(zero_page_reads_then_write)
{
	char *m = anon(16 * PAGE, MAP_PRIVATE);
	long sum = 0;
	for (int i = 0; i < 16; i++)
		sum += m[i * PAGE];
	EQ(sum, 0);
	m[5 * PAGE] = 1;
	for (int i = 0; i < 16; i++)
		sum += m[i * PAGE];
	EQ(sum, 1);
}

CASE(fork_of_prot_none_region)
{
	char *m = anon(PAGE, MAP_PRIVATE);
	m[0] = 'h';
	OK(mprotect(m, PAGE, PROT_NONE));
	CHILD(k) {
		EQ(probe(m, 0), SIGSEGV);
		OK(mprotect(m, PAGE, PROT_READ | PROT_WRITE));
		EQ(m[0], 'h');
		m[0] = 'c';
	}
	REAP(k);
	OK(mprotect(m, PAGE, PROT_READ));
	EQ(m[0], 'h');
}

CASE(mlock_calls)
{
	char *m = anon(2 * PAGE, MAP_PRIVATE);
	OK(mlock(m, PAGE));
	OK(munlock(m, PAGE));
	OK(munmap(m + PAGE, PAGE));
	ERR(mlock(m, 2 * PAGE), ENOMEM);
	ERR(mlockall(0), EINVAL);
	ERR(mlockall(0x100), EINVAL);
	OK(munlockall());
	CHILD(k) {
		struct rlimit rl = {0, 0};
		OK(setrlimit(RLIMIT_MEMLOCK, &rl));
		become_nobody();
		ERR(mlock(m, PAGE), EPERM);
	}
	REAP(k);
}

CASE(process_vm_readv_child)
{
	char *m = anon(PAGE, MAP_PRIVATE);
	int p[2];
	char b[16] = "";
	OK(pipe(p));
	strcpy(m, "parent");
	CHILD(k) {
		strcpy(m, "child");
		EQ(write(p[1], "x", 1), 1);
		for (;;)
			pause();
	}
	EQ(read(p[0], b, 1), 1);
	struct iovec l = {b, 6}, r = {m, 6};
	EQ(process_vm_readv(k, &l, 1, &r, 1, 0), 6);
	STREQ(b, "child");
	strcpy(b, "wrote");
	EQ(process_vm_writev(k, &l, 1, &r, 1, 0), 6);
	memset(b, 0, 6);
	EQ(process_vm_readv(k, &l, 1, &r, 1, 0), 6);
	STREQ(b, "wrote");
	STREQ(m, "parent");
	struct iovec bad = {BAD_PTR, 6};
	ERR(process_vm_readv(k, &l, 1, &bad, 1, 0), EFAULT);
	ERR(process_vm_readv(k, &l, 1, &r, 1, 1), EINVAL);
	ERR(process_vm_readv(4000000, &l, 1, &r, 1, 0), ESRCH);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(msync_calls)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, PAGE));
	char *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	m[0] = 'q';
	OK(msync(m, PAGE, MS_SYNC));
	OK(msync(m, PAGE, MS_ASYNC));
	ERR(msync(m, PAGE, MS_SYNC | MS_ASYNC), EINVAL);
	ERR(msync(m + 1, PAGE, MS_SYNC), EINVAL);
	ERR(msync(m, PAGE, 0x80), EINVAL);
	OK(munmap(m, PAGE));
	ERR(msync(m, PAGE, MS_SYNC), ENOMEM);
}
