// What the hostile programs have in common. A program prints "GAINED: ..." for
// everything that it has got and should not have, and "survived" when it has
// done all that it wanted to do; nothing else that it prints matters.
#ifndef HOSTILE_H
#define HOSTILE_H
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

// The top of the address space, where a platform may keep code of its own.
#define STUB_START 0x7fff00000000UL
#define STUB_END 0x7ffffffff000UL
#define PAGE 4096UL

#define COUNT(a) (sizeof(a) / sizeof(a)[0])

// attempting is set in a process that attempt has made.
static volatile int attempting;

static void gained(const char *format, ...) {
	char line[512];
	static int times;
	if (times++ > 20) return;
	va_list ap;
	va_start(ap, format);
	int n = snprintf(line, sizeof line, "GAINED: ");
	n += vsnprintf(line + n, sizeof line - n - 1, format, ap);
	va_end(ap);
	if (n > (int)sizeof line - 2) n = sizeof line - 2;
	line[n++] = '\n';
	write(1, line, n);
}

static void fail(const char *what) {
	printf("cannot go on: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	_exit(2);
}

// From now on the witnesses on the host look at the sandbox's processes.
__attribute__((constructor)) static void begin(void) {
	if (getpid() == 1) write(1, "begin\n", 6);
}

static int survived(void) {
	if (attempting) _exit(7);
	fflush(stdout);
	write(1, "survived\n", 9);
	return 0;
}

// unprivileged gives up root, so that no more than n processes can come of what
// happens next: code that jumps about may well repeat the program's own fork.
static void unprivileged(int n) {
	struct rlimit limit = {n, n};
	setrlimit(RLIMIT_NPROC, &limit);
	if (setgid(1000) || setuid(1000)) fail("setuid");
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static uint64_t rng_state = 88172645463325252UL;

static uint64_t rng(void) {
	rng_state ^= rng_state << 13;
	rng_state ^= rng_state >> 7;
	rng_state ^= rng_state << 17;
	return rng_state;
}

// attempt runs f(arg) in a process of its own, which it kills after some
// seconds, and returns its wait status. A process that cannot be killed is a
// gain.
static int attempt(void (*f)(void *), void *arg, double seconds) {
	fflush(stdout);
	pid_t pid = fork();
	// Code that jumps about may come back to here, as parent or as child.
	if (attempting) _exit(7);
	if (pid < 0) fail("fork");
	if (pid == 0) {
		attempting = 1;
		f(arg);
		_exit(0);
	}
	int status;
	double start = now();
	int killed = 0;
	for (useconds_t nap = 50;; nap = nap < 20000 ? nap * 2 : nap) {
		pid_t got = waitpid(pid, &status, WNOHANG | __WALL);
		if (got == pid) {
			// Code that jumps about may have left processes to process 1.
			while (getpid() == 1 && waitpid(-1, NULL, WNOHANG | __WALL) > 0);
			return status;
		}
		if (got < 0) fail("waitpid");
		if (!killed && now() - start > seconds) {
			kill(pid, SIGKILL);
			killed = 1;
		}
		if (killed && now() - start > seconds + 20) {
			gained("a process outlives SIGKILL");
			return -1;
		}
		usleep(nap);
	}
}

static sigjmp_buf probe_back;

static void probe_fault(int sig) { siglongjmp(probe_back, sig); }

static void probe_setup(void) {
	struct sigaction sa = {.sa_handler = probe_fault, .sa_flags = SA_NODEFER | SA_ONSTACK};
	sigaction(SIGSEGV, &sa, NULL);
	sigaction(SIGBUS, &sa, NULL);
	sigaction(SIGILL, &sa, NULL);
	sigaction(SIGTRAP, &sa, NULL);
	sigaction(SIGSYS, &sa, NULL);
	sigaction(SIGFPE, &sa, NULL);
}

// readable says whether the byte at addr can be read.
static int readable(uintptr_t addr) {
	if (sigsetjmp(probe_back, 0)) return 0;
	*(volatile char *)addr;
	return 1;
}

// writable says whether the byte at addr can be written; it writes what is there.
static int writable(uintptr_t addr) {
	if (sigsetjmp(probe_back, 0)) return 0;
	volatile char *p = (volatile char *)addr;
	*p = *p;
	return 1;
}

struct stub {
	uintptr_t page[8192];
	char write[8192];
	int pages;
	uintptr_t call[64]; // addresses of SYSCALL instructions
	int calls;
};

// find_stub looks at the pages of the platform's region: all of them, or those
// where something is, the first 48 MiB and the last.
static struct stub *find_stub(int all) {
	struct stub *s = mmap(NULL, sizeof *s, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (s == MAP_FAILED) fail("mmap");
	probe_setup();
	for (uintptr_t a = STUB_START; a < STUB_END; a += PAGE) {
		if (!all && a == STUB_START + (48 << 20)) a = STUB_END - (1 << 20);
		if (!readable(a)) continue;
		if (s->pages == COUNT(s->page)) break;
		s->page[s->pages] = a;
		s->write[s->pages++] = writable(a);
		if (writable(a)) continue;
		for (uintptr_t c = a; c < a + PAGE - 1; c++) {
			unsigned char *b = (unsigned char *)c;
			if (b[0] == 0x0f && b[1] == 0x05 && s->calls < (int)COUNT(s->call)) s->call[s->calls++] = c;
		}
	}
	return s;
}

// jump goes to address to with the registers given: AX, DI, SI, DX, R10, R8, R9,
// BX, R12, R13, R14, BP, SP. It comes back only by a signal or if a RET of what
// is there finds its return address.
static void jump(uintptr_t to, const uint64_t r[13]) {
	asm volatile("mov %0, %%rcx\n\t"
	             "mov %1, %%r11\n\t"
	             "mov 0(%%r11), %%rax\n\t"
	             "mov 8(%%r11), %%rdi\n\t"
	             "mov 16(%%r11), %%rsi\n\t"
	             "mov 24(%%r11), %%rdx\n\t"
	             "mov 32(%%r11), %%r10\n\t"
	             "mov 40(%%r11), %%r8\n\t"
	             "mov 48(%%r11), %%r9\n\t"
	             "mov 56(%%r11), %%rbx\n\t"
	             "mov 64(%%r11), %%r12\n\t"
	             "mov 72(%%r11), %%r13\n\t"
	             "mov 80(%%r11), %%r14\n\t"
	             "mov 88(%%r11), %%rbp\n\t"
	             "mov 96(%%r11), %%rsp\n\t"
	             "jmp *%%rcx\n\t"
	             :
	             : "r"(to), "r"(r)
	             : "memory");
	__builtin_unreachable();
}

#endif
