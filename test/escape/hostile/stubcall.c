// Goes straight to every SYSCALL instruction of the platform's code, with every
// number, and arguments that would do harm if the host made the call.
#include "hostile.h"

static struct stub *stub;
static char path[] = "/proc/self/exe";
static char text[] = "GAINED: a write by the host\n";
static uint64_t scratch[4096];

struct job {
	uintptr_t to;
	uint64_t nr;
	int set;
};

static uint64_t area(void) {
	for (int i = 0; i < stub->pages; i++)
		if (stub->write[i]) return stub->page[i];
	return (uint64_t)scratch;
}

// Faults end the process: what handles those of a probe would go back to it.
static void mortal(void) {
	static const int faults[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGSYS, SIGFPE};
	for (size_t i = 0; i < COUNT(faults); i++) signal(faults[i], SIG_DFL);
}

static void go(void *arg) {
	struct job *j = arg;
	mortal();
	uint64_t a = area();
	uint64_t r[13] = {j->nr, 0, 0, 0, 0, 0, 0, a, 0, 0, a + 256, 0, (uint64_t)(scratch + 2048)};
	switch (j->set) {
	case 0: // descriptors that the sentry has, and the application has not
		r[1] = 3 + rng() % 60, r[2] = (uint64_t)text, r[3] = sizeof text - 1;
		break;
	case 1: // pointers everywhere
		for (int i = 1; i < 7; i++) r[i] = (uint64_t)scratch;
		break;
	case 2: // paths
		r[1] = (uint64_t)path, r[2] = O_RDWR, r[3] = 0777;
		break;
	case 3: // the directory of openat and its like
		r[1] = (uint64_t)AT_FDCWD, r[2] = (uint64_t)path, r[3] = O_RDWR;
		break;
	case 4: // the platform's own memory
		r[1] = stub->page[0], r[2] = PAGE, r[3] = 7, r[4] = 0x32, r[5] = ~0UL;
		break;
	case 5: // all processes
		r[1] = ~0UL, r[2] = SIGKILL, r[3] = SIGKILL;
		break;
	case 6: // a hand-off of its own making
		r[1] = rng() % 0x104, r[2] = rng(), r[3] = a + 0x1000 + (rng() & 0x2ff0), r[4] = a;
		break;
	default:
		for (int i = 1; i < 7; i++) r[i] = rng() >> (rng() % 64);
	}
	r[9] = rng() & 0x3010103;  // a command
	r[8] = rng() % 4;
	jump(j->to, r);
}

// call makes an attempt. It does not wait long for what comes of instructions after
// which the platform's code waits.
static void call(struct job *j) {
	static int waits[64];
	int *w = &waits[j->to % COUNT(waits)];
	int status = attempt(go, j, *w > 10 ? 0.02 : 0.15);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ++*w;
}

// The calls at addresses where there is none: the middle of instructions.
static void anywhere(void *arg) {
	mortal();
	uint64_t r[13];
	for (int i = 0; i < 13; i++) r[i] = i % 2 ? area() + (rng() & 0x3ff8) : rng() % 512;
	r[12] = (uint64_t)(scratch + 2048);
	jump((uintptr_t)arg, r);
}

int main(int argc, char **argv) {
	(void)argc, (void)argv;
	unprivileged(64);
	stub = find_stub(0);
	printf("%d SYSCALL instructions\n", stub->calls);
	static const uint64_t odd[] = {0x100000, 0x40000000, 0x40000001, 0x40000200, 0xffffffff, 1UL << 32, (1UL << 32) | 1, ~0UL, 512, 547, 1000};
	int n = 0;
	// Every number at least once, from each instruction in turn, and all that are odd
	// from all.
	for (uint64_t nr = 0; nr < 475; nr++) {
		struct job j = {stub->call[(nr + nr / stub->calls) % stub->calls], nr, n++ % 9};
		rng();
		call(&j);
	}
	for (int c = 0; c < stub->calls; c++) {
		for (uint64_t i = 0; i < COUNT(odd); i++) {
			struct job j = {stub->call[c], odd[i], n++ % 9};
			rng();
			call(&j);
		}
		// What the platform itself does, with arguments of others' making.
		static const uint64_t own[] = {SYS_mmap, SYS_munmap, SYS_mprotect, SYS_clone, SYS_rt_sigreturn, SYS_prctl, SYS_pause, SYS_exit, SYS_ptrace, SYS_seccomp, SYS_openat, SYS_socket, SYS_unshare};
		for (uint64_t i = 0; i < COUNT(own); i++) {
			struct job j = {stub->call[c], own[i], n++ % 9};
			rng();
			call(&j);
		}
	}
	for (int i = 0; i < stub->pages; i++) {
		if (stub->write[i] || i > 1) continue;
		for (uintptr_t a = stub->page[i]; a < stub->page[i] + PAGE; a += 1 + rng() % 24) {
			rng();
			attempt(anywhere, (void *)a, 0.1);
			n++;
		}
	}
	printf("%d attempts\n", n);
	return survived();
}
