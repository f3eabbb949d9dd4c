// Signal frames of the program's own making: for the rt_sigreturn that the
// sentry serves, and for the one in the platform's code.
#include "hostile.h"
#include <pthread.h>
#include <ucontext.h>

static struct stub *stub;
static volatile int reached;

// What a frame is made of, as it lies on the stack after the return address.
static struct {
	char below[32768];
	struct {
		unsigned long flags;
		void *link;
		stack_t stack;
		uint64_t gregs[23];
		uint64_t fpstate;
		uint64_t reserved[8];
		uint64_t mask;
		siginfo_t info;
	} uc __attribute__((aligned(64)));
	unsigned char fp[16384] __attribute__((aligned(64)));
	char stack[65536];
} f;

static void landing(void) {
	reached = 1;
	_exit(42);
}

static void looping(void) {
	for (;;) reached++;
}

// call ends in rt_sigreturn with the stack pointer at the frame.
static void enter(uintptr_t to) {
	if (to == 0) {
		asm volatile("mov %0, %%rsp\n\tmov $15, %%eax\n\tsyscall\n\tud2" : : "r"(&f.uc) : "memory");
	} else {
		uint64_t r[13] = {15};
		r[12] = (uint64_t)&f.uc;
		jump(to, r);
	}
	__builtin_unreachable();
}

static void good(void (*ip)(void)) {
	memset(&f.uc, 0, sizeof f.uc);
	f.uc.flags = 7;
	f.uc.gregs[REG_RIP] = (uint64_t)ip;
	f.uc.gregs[REG_RSP] = (uint64_t)(f.stack + sizeof f.stack - 128 - 8);
	f.uc.gregs[REG_EFL] = 0x202;
	f.uc.gregs[REG_CSGSFS] = 0x33 | 0x2bUL << 48;
	f.uc.stack.ss_flags = SS_DISABLE;
	f.uc.fpstate = (uint64_t)f.fp;
	memset(f.fp, 0, sizeof f.fp);
	*(uint16_t *)f.fp = 0x37f;
	*(uint32_t *)(f.fp + 24) = 0x1f80;
}

// extended says that the extended state is that of XSAVE, of size bytes.
static void extended(uint32_t size, uint64_t features) {
	uint32_t *sw = (uint32_t *)(f.fp + 464);
	sw[0] = 0x46505853;
	sw[1] = size + 4;
	*(uint64_t *)(sw + 2) = features;
	sw[4] = size;
	if (size < sizeof f.fp - 4) *(uint32_t *)(f.fp + size) = 0x46505845;
}

struct job {
	uintptr_t to;
	int kind;
};

static void go(void *arg) {
	struct job *j = arg;
	good(landing);
	if (j->to != 0 && stub->pages > 0)
		for (int i = 0; i < stub->pages; i++)
			if (stub->write[i]) {
				f.uc.stack = (stack_t){.ss_sp = (void *)(stub->page[i] + 0x1000), .ss_size = 0x3000};
				break;
			}
	uint64_t *g = f.uc.gregs;
	switch (j->kind) {
	case 0: break;
	case 1: f.uc.mask = ~0UL; break;
	case 2: g[REG_RIP] = 0xffffffff81000000UL; break;
	case 3: g[REG_RIP] = 0x0000800000000000UL; break;
	case 4: g[REG_RSP] = 0x8000000000000000UL; break;
	case 5: g[REG_CSGSFS] = 0x10 | 0x18UL << 48; break; // the kernel's
	case 6: g[REG_CSGSFS] = 0x23 | 0x2bUL << 48; break; // 32-bit code
	case 7: g[REG_CSGSFS] = 0; break;
	case 8: g[REG_CSGSFS] = ~0UL; break;
	case 9: g[REG_CSGSFS] = 0x33 | 0x0fUL << 16 | 0x07UL << 32 | 0x37UL << 48; break;
	case 10: g[REG_EFL] = ~0UL; break;
	case 11: g[REG_EFL] = 0x3000 | 0x202; break; // IOPL
	case 12: g[REG_EFL] = 0x4000 | 0x100 | 0x40000 | 0x10000; break;
	case 13: f.uc.fpstate = 0xffffffff81000000UL; break;
	case 14: f.uc.fpstate = 1; break;
	case 15: f.uc.fpstate = (uint64_t)f.fp + 8; break;
	case 16: f.uc.fpstate = STUB_START; break;
	case 17: extended(0xfffffff0, ~0UL); break;
	case 18: extended(0x7fffffff, ~0UL); break;
	case 19: extended(4096, ~0UL); break;
	case 20: extended(576, ~0UL); break;
	case 21: extended(0, 0); break;
	case 22: extended(832, 7); memset(f.fp + 512, 0xff, 64); break; // bad XSTATE_BV, XCOMP_BV
	case 23: extended(2440, ~0UL); memset(f.fp + 512, 0xff, 2000); break;
	case 24: *(uint32_t *)(f.fp + 24) = ~0u; break; // MXCSR
	case 25: extended(832, 7); *(uint32_t *)(f.fp + 24) = ~0u; *(uint64_t *)(f.fp + 512) = 7; break;
	case 26: f.uc.stack = (stack_t){.ss_sp = (void *)8, .ss_size = ~0UL}; break;
	case 27: f.uc.stack = (stack_t){.ss_sp = (void *)stub->page[0], .ss_size = 1 << 30, .ss_flags = 1 << 31}; break;
	case 28: f.uc.flags = ~0UL; break;
	case 29: f.uc.flags = 0; break;
	case 30: f.uc.stack = (stack_t){.ss_flags = SS_DISABLE}; break; // the platform's next signal finds none
	default:
		for (uint64_t n = rng() % 24; n > 0; n--) ((unsigned char *)&f.uc)[rng() % sizeof f.uc] = rng();
		if (rng() % 2) extended(rng() % 3000, rng());
		for (uint64_t n = rng() % 24; n > 0; n--) f.fp[rng() % 2800] = rng();
	}
	enter(j->to);
}

// With all signals blocked on the host the platform's interruptions do not come
// through: SIGKILL has to.
static void unstoppable(void *arg) {
	good(looping);
	f.uc.mask = ~0UL;
	for (int i = 0; i < stub->pages; i++)
		if (stub->write[i]) {
			f.uc.stack = (stack_t){.ss_sp = (void *)(stub->page[i] + 0x1000), .ss_size = 0x3000};
			break;
		}
	enter((uintptr_t)arg);
}

// The same, with a second thread that changes the address space: it has to wait
// for the first to be stopped.
static void *blocked_loop(void *arg) {
	unstoppable(arg);
	return NULL;
}

static void unstoppable_thread(void *arg) {
	pthread_t t;
	pthread_create(&t, NULL, blocked_loop, arg);
	usleep(100000);
	for (int i = 0; i < 100; i++) munmap(mmap(NULL, PAGE, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE);
	int pid = fork();
	if (pid == 0) _exit(0);
	for (;;) pause();
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 60;
	unprivileged(64);
	stub = find_stub(0);
	printf("%d SYSCALL instructions\n", stub->calls);
	struct job j = {0, 0};
	int status = attempt(go, &j, 5);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 42) {
		printf("a good frame is refused: %x\n", status);
		return 1;
	}
	for (int c = -1; c < stub->calls; c++) {
		j.to = c < 0 ? 0 : stub->call[c];
		int n = c < 0 ? rounds : 31 + rounds / 10;
		for (j.kind = 0; j.kind < n; j.kind++) {
			rng();
			attempt(go, &j, 0.1);
		}
	}
	puts("what cannot be interrupted");
	for (int c = -1; c < stub->calls; c++) {
		attempt(unstoppable, (void *)(c < 0 ? 0 : stub->call[c]), 0.3);
		attempt(unstoppable_thread, (void *)(c < 0 ? 0 : stub->call[c]), 0.3);
	}
	return survived();
}
