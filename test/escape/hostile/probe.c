// Writes over every page that the platform has mapped into the process.
#include "hostile.h"

static struct stub *stub;

static void overwrite(void *arg) {
	long which = (long)arg;
	uint64_t pattern[] = {0, ~0UL, 0x4141414141414141UL, STUB_START, 1};
	for (int round = 0; round < 40; round++) {
		for (int i = 0; i < stub->pages; i++) {
			if (!stub->write[i] || (which >= 0 && which != i)) continue;
			uint64_t *p = (uint64_t *)stub->page[i];
			for (size_t j = 0; j < PAGE / 8; j++) p[j] = round % 6 == 5 ? rng() : pattern[round % 6];
		}
		getppid();
		syscall(SYS_munmap, mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
		raise(SIGUSR2);
	}
}

static void ignore(int sig) { (void)sig; }

int main(void) {
	unprivileged(64);
	stub = find_stub(1);
	int w = 0;
	for (int i = 0; i < stub->pages; i++) w += stub->write[i];
	printf("%d pages, %d can be written, %d SYSCALL instructions\n", stub->pages, w, stub->calls);
	signal(SIGUSR2, ignore);
	char *mine = malloc(1 << 20);
	memset(mine, 0x5a, 1 << 20);
	attempt(overwrite, (void *)-1L, 5);
	for (int i = 0; i < stub->pages; i++)
		if (stub->write[i] && i < 40) attempt(overwrite, (void *)(long)i, 5);
	for (int i = 0; i < 1 << 20; i++)
		if (mine[i] != 0x5a) { gained("another process's memory changed"); break; }
	// Code must not be writable, and what is writable not code.
	for (int i = 0; i < stub->pages; i++) {
		if (!stub->write[i]) continue;
		if (sigsetjmp(probe_back, 0) == 0) {
			unsigned char *p = (unsigned char *)stub->page[i] + 3072;
			unsigned char old = *p;
			*p = 0xc3;
			((void (*)(void))p)();
			gained("the page at %#lx can be written and executed", stub->page[i]);
			*p = old;
		}
	}
	return survived();
}
