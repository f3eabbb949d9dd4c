// Memory: mapping, faults, copies after fork.
#include "micro.h"
#include <sys/mman.h>
#include <sys/wait.h>

static char *anonymous(size_t size)
{
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p != MAP_FAILED);
	return p;
}

static void map_touch_unmap(long n)
{
	start();
	while (n--) {
		char *p = anonymous(16384);
		p[0] = 1;
		munmap(p, 16384);
	}
	stop();
}

static void touch_64m(long n)
{
	size_t size = 64 << 20;
	start();
	while (n--) {
		char *p = anonymous(size);
		for (size_t i = 0; i < size; i += 4096)
			p[i] = 1;
		munmap(p, size);
	}
	stop();
}

static void touch_scattered(long n)
{
	size_t size = 1L << 30;
	char *p = anonymous(size);
	unsigned long at = 12345;
	start();
	for (long i = 0; i < n; i++) {
		at = at * 6364136223846793005UL + 1442695040888963407UL;
		p[(at >> 20) % size] = 1;
	}
	stop();
	munmap(p, size);
}

static void copy_after_fork_16m(long n)
{
	size_t size = 16 << 20;
	char *p = anonymous(size);
	memset(p, 1, size);
	start();
	while (n--) {
		pid_t child = fork();
		CHECK(child >= 0);
		if (!child) {
			for (size_t i = 0; i < size; i += 4096)
				p[i] = 2;
			_exit(0);
		}
		waitpid(child, NULL, 0);
	}
	stop();
	munmap(p, size);
}

static void protect_pair(long n)
{
	size_t size = 1 << 20;
	char *p = anonymous(size);
	memset(p, 1, size);
	start();
	while (n--) {
		CHECK(!mprotect(p + 65536, 4096, PROT_READ));
		CHECK(!mprotect(p + 65536, 4096, PROT_READ | PROT_WRITE));
		p[65536] = 1;
	}
	stop();
	munmap(p, size);
}

static void heap(long n)
{
	start();
	while (n--) {
		CHECK(sbrk(65536) != (void *)-1);
		CHECK(sbrk(-65536) != (void *)-1);
	}
	stop();
}

const struct measurement memory[] = {
	{ "map_touch_unmap", map_touch_unmap },
	{ "touch_64m", touch_64m },
	{ "touch_scattered", touch_scattered },
	{ "copy_after_fork_16m", copy_after_fork_16m },
	{ "mprotect_pair", protect_pair },
	{ "brk_pair", heap },
	{ NULL, NULL },
};
