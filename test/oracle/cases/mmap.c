// mmap(2), munmap(2): placement, flags, protection, private and file mappings, and what
// faults give.
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

// The signal that reading (or writing) a byte there gives, or 0.
static int probe(volatile char *p, int wr)
{
	set_handler(SIGSEGV, on_fault, 0);
	set_handler(SIGBUS, on_fault, 0);
	fault_sig = 0;
	if (sigsetjmp(env, 1) == 0) {
		if (wr)
			*p = 1;
		else
			(void)*p;
	}
	return fault_sig;
}

static char *anon(size_t n, int prot)
{
	return OK(mmap(NULL, n, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

CASE(mmap_anonymous_is_zero)
{
	char *m = anon(16 * PAGE, PROT_READ | PROT_WRITE);
	EQ((uintptr_t)m % PAGE, 0);
	for (size_t i = 0; i < 16 * PAGE; i += 512)
		EQ(m[i], 0);
	memset(m, 7, 16 * PAGE);
	OK(munmap(m, 16 * PAGE));
	EQ(probe(m, 0), SIGSEGV);
}

CASE(mmap_errors)
{
	put_file("f", "x");
	int fd = OK(open("f", O_RDONLY)), w = OK(open("f", O_WRONLY)), d = OK(open(".", O_RDONLY));
	ERR(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), EINVAL);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_ANONYMOUS, -1, 0), EINVAL);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, 999, 0), EBADF);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 1), EINVAL);
	ERR(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), EACCES);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, w, 0), EACCES);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, w, 0), EACCES);
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, d, 0), ENODEV);
	ERR(mmap((void *)1, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EINVAL);
	ERR(mmap(NULL, (size_t)-PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
	ERR(mmap(NULL, 1UL << 47, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0), ENOMEM);
	int p[2];
	OK(pipe(p));
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, p[0], 0), ENODEV);
	OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_SHARED_VALIDATE | 0x2000000, fd, 0), EOPNOTSUPP);
}

CASE(munmap_errors_and_holes)
{
	char *m = anon(4 * PAGE, PROT_READ | PROT_WRITE);
	ERR(munmap(m + 1, PAGE), EINVAL);
	ERR(munmap(m, 0), EINVAL);
	ERR(munmap((void *)-PAGE, PAGE), EINVAL);
	OK(munmap(m + PAGE, PAGE));
	EQ(probe(m + PAGE, 0), SIGSEGV);
	EQ(probe(m, 1), 0);
	EQ(probe(m + 2 * PAGE, 1), 0);
	OK(munmap(m + PAGE, PAGE)); // nothing there: still fine
	OK(munmap(m, 4 * PAGE));
	OK(munmap(m, 1)); // lengths are rounded up
}

CASE(mmap_fixed_replaces)
{
	char *m = anon(4 * PAGE, PROT_READ | PROT_WRITE);
	memset(m, 'x', 4 * PAGE);
	char *n = mmap(m + PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(n == m + PAGE);
	EQ(m[0], 'x');
	EQ(m[PAGE], 0);
	EQ(m[3 * PAGE], 'x');
	ERR(mmap(m, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0), EEXIST);
	OK(munmap(m, PAGE));
	CHECK(mmap(m, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == m);
}

CASE(mmap_hint_is_honoured_when_free)
{
	char *m = anon(8 * PAGE, PROT_READ);
	OK(munmap(m + 2 * PAGE, 4 * PAGE));
	CHECK(mmap(m + 3 * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == m + 3 * PAGE);
	char *n = OK(mmap(m, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(n != m); // taken
	n = OK(mmap((void *)0x200000000123, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	CHECK(n == (char *)0x200000000000); // rounded down to a page
}

CASE(mmap_low_addresses_refused)
{
	CHILD(k) {
		become_nobody();
		ERR(mmap((void *)0, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), EPERM);
	}
	REAP(k);
	ERR(mmap((void *)0x7ffffffff000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
	ERR(mmap((void *)0x800000000000, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0), ENOMEM);
}

CASE(mmap_32bit)
{
	char *m = OK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0));
	CHECK((uintptr_t)m < 0x80000000);
}

CASE(mmap_file_private)
{
	char b[16];
	put_file("f", "hello");
	int fd = OK(open("f", O_RDONLY));
	char *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	OK(close(fd)); // the mapping stays
	EQ(memcmp(m, "hello\0\0", 7), 0);
	m[0] = 'J';
	get_file("f", b, 16);
	STREQ(b, "hello");
	EQ(m[0], 'J');
}

CASE(mmap_file_private_sees_file_writes_until_copied)
{
	put_file("f", "aaaaaaaa");
	int fd = OK(open("f", O_RDWR));
	char *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	EQ(m[0], 'a');
	EQ(pwrite(fd, "b", 1, 0), 1);
	EQ(m[0], 'b');
	m[4] = 'c';
	EQ(pwrite(fd, "d", 1, 0), 1);
	EQ(m[0], 'b'); // its own copy now
}

CASE(mmap_file_offset)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 5 * PAGE));
	for (int i = 0; i < 5; i++) {
		char c = 'a' + i;
		EQ(pwrite(fd, &c, 1, i * PAGE + 10), 1);
	}
	char *m = OK(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, fd, 3 * PAGE));
	EQ(m[10], 'd');
	EQ(m[PAGE + 10], 'e');
	EQ(m[11], 0);
}

CASE(mmap_beyond_end_of_file)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 100));
	char *m = OK(mmap(NULL, 3 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EQ(probe(m + 4000, 0), 0);
	EQ(probe(m + PAGE, 0), SIGBUS);
	OK(ftruncate(fd, 2 * PAGE));
	EQ(probe(m + PAGE, 0), 0);
	EQ(probe(m + 2 * PAGE, 1), SIGBUS);
	m[PAGE] = 'x';
	OK(ftruncate(fd, 10));
	EQ(probe(m + PAGE, 0), SIGBUS); // pages go when the file shrinks
	OK(ftruncate(fd, 2 * PAGE));
	EQ(m[PAGE], 0);
	EQ(m[50], 0);
}

CASE(mmap_truncate_zeroes_tail_of_page)
{
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(ftruncate(fd, 100));
	char *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	memset(m, 'x', 200);
	OK(ftruncate(fd, 50));
	OK(ftruncate(fd, 300));
	EQ(m[49], 'x');
	EQ(m[50], 0);
	EQ(m[99], 0);
	char b[300];
	EQ(pread(fd, b, 300, 0), 300);
	EQ(b[49], 'x');
	EQ(b[60], 0);
}

CASE(mmap_prot_none_and_read_only)
{
	char *n = anon(PAGE, PROT_NONE), *r = anon(PAGE, PROT_READ);
	EQ(probe(n, 0), SIGSEGV);
	EQ(probe(r, 0), 0);
	EQ(probe(r, 1), SIGSEGV);
	char *w = anon(PAGE, PROT_WRITE);
	EQ(probe(w, 1), 0);
	EQ(probe(w, 0), 0); // writable means readable on this machine
}

CASE(mmap_execute_needs_permission)
{
	unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; // mov $42, %eax; ret
	char *m = anon(PAGE, PROT_READ | PROT_WRITE);
	memcpy(m, code, sizeof code);
	set_handler(SIGSEGV, on_fault, 0);
	int r = -1;
	if (sigsetjmp(env, 1) == 0)
		r = ((int (*)(void))m)();
	EQ(r, -1);
	EQ(fault_sig, SIGSEGV);
	OK(mprotect(m, PAGE, PROT_READ | PROT_EXEC));
	EQ(((int (*)(void))m)(), 42);
}

CASE(self_modifying_code)
{
	unsigned char code[] = {0xb8, 1, 0, 0, 0, 0xc3};
	char *m = anon(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);
	memcpy(m, code, sizeof code);
	for (int i = 0; i < 50; i++) {
		m[1] = i;
		__asm__ volatile("" : : : "memory");
		EQ(((int (*volatile)(void))m)(), i);
	}
}

CASE(mmap_populate_and_locked_flags)
{
	char *m = OK(mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
	unsigned char v[4];
	OK(mincore(m, 4 * PAGE, v));
	for (int i = 0; i < 4; i++)
		EQ(v[i] & 1, 1);
}

CASE(mincore_errors)
{
	char *m = anon(2 * PAGE, PROT_READ | PROT_WRITE);
	unsigned char v[2];
	m[0] = 1;
	OK(mincore(m, 2 * PAGE, v));
	EQ(v[0] & 1, 1);
	ERR(mincore(m + 1, PAGE, v), EINVAL);
	ERR(mincore(m, PAGE, BAD_PTR), EFAULT);
	OK(munmap(m, 2 * PAGE));
	ERR(mincore(m, PAGE, v), ENOMEM);
}

CASE(mmap_sparse_huge_mapping)
{
	size_t n = 1UL << 40;
	char *m = OK(mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	m[0] = 1;
	m[n / 2] = 2;
	m[n - 1] = 3;
	EQ(m[0] + m[n / 2] + m[n - 1], 6);
	EQ(m[12345678], 0);
	OK(munmap(m, n));
}

CASE(mmap_many_mappings)
{
	enum { N = 2000 };
	static char *m[N];
	for (int i = 0; i < N; i++) {
		m[i] = anon(PAGE, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ);
		if (i & 1)
			m[i][7] = i;
	}
	for (int i = 1; i < N; i += 2)
		EQ(m[i][7], (char)i);
	for (int i = 0; i < N; i++)
		OK(munmap(m[i], PAGE));
}

CASE(mmap_dev_zero)
{
	int fd = OK(open("/dev/zero", O_RDWR));
	char *m = OK(mmap(NULL, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
	EQ(m[5], 0);
	m[5] = 1;
	char *s = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	CHILD(k) {
		s[0] = 9;
	}
	REAP(k);
	EQ(s[0], 9);
	int null = OK(open("/dev/null", O_RDWR));
	ERR(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, null, 0), ENODEV);
}

CASE(rlimit_as_bounds_mappings)
{
	CHILD(k) {
		struct rlimit rl = {64 << 20, 64 << 20};
		OK(setrlimit(RLIMIT_AS, &rl));
		ERR(mmap(NULL, 128 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), ENOMEM);
		OK(mmap(NULL, 1 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	}
	REAP(k);
}

CASE(buffers_may_span_mappings)
{
	char *m = anon(4 * PAGE, PROT_READ | PROT_WRITE);
	int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
	OK(mmap(m + PAGE, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
	memset(m, 'q', 4 * PAGE);
	EQ(write(fd, m + 100, 3 * PAGE), 3 * PAGE);
	memset(m, 0, 4 * PAGE);
	EQ(pread(fd, m + 50, 3 * PAGE, 0), 3 * PAGE);
	for (size_t i = 0; i < 3 * PAGE; i += 64)
		EQ(m[50 + i], 'q');
}

CASE(read_into_mapping_of_same_file)
{
	put_file("f", "0123456789");
	int fd = OK(open("f", O_RDWR));
	char *m = OK(mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
	EQ(pread(fd, m + 5, 5, 0), 5);
	EQ(memcmp(m, "0123401234", 10), 0);
	EQ(pwrite(fd, m + 8, 2, 0), 2);
	EQ(memcmp(m, "3423401234", 10), 0);
}

CASE(fault_in_every_page_out_of_order)
{
	enum { N = 512 };
	char *m = anon(N * PAGE, PROT_READ | PROT_WRITE);
	for (int i = 0; i < N; i++) {
		int p = i * 37 % N;
		EQ(m[p * PAGE], 0);
		m[p * PAGE] = p;
	}
	for (int i = 0; i < N; i++)
		EQ(m[i * PAGE], (char)i);
}

static void *fault_thread(void *m)
{
	for (int i = 0; i < 256; i++)
		__atomic_add_fetch((int *)((char *)m + i * PAGE), 1, __ATOMIC_SEQ_CST);
	return NULL;
}

CASE(threads_fault_the_same_pages)
{
	pthread_t t[6];
	char *m = anon(256 * PAGE, PROT_READ | PROT_WRITE);
	for (int i = 0; i < 6; i++)
		EQ(pthread_create(&t[i], NULL, fault_thread, m), 0);
	for (int i = 0; i < 6; i++)
		EQ(pthread_join(t[i], NULL), 0);
	for (int i = 0; i < 256; i++)
		EQ(*(int *)(m + i * PAGE), 6);
}
