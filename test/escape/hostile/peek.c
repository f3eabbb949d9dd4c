// The memory of other processes in the sandbox.
#include "hostile.h"
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>

#define SECRET 0x7ec3a51de0f1b2c4UL

static uint64_t *shared; // by which both sides talk
static uint64_t *memory;

// A process of root with a secret.
static void holder(void) {
	attempting = 1;
	memory = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < (1 << 20) / 8; i++) memory[i] = SECRET ^ 0xffff;
	for (int i = 0; i < (1 << 20) / 8; i++) memory[i] ^= 0xffff;
	shared[0] = (uint64_t)memory;
	for (;;) pause();
}

static void foreign(pid_t pid) {
	uint64_t got[512] = {0};
	struct iovec l = {got, sizeof got}, r = {(void *)shared[0], sizeof got};
	if (process_vm_readv(pid, &l, 1, &r, 1, 0) > 0) gained("process_vm_readv");
	if (process_vm_writev(pid, &l, 1, &r, 1, 0) > 0) gained("process_vm_writev");
	char p[64];
	static const char *files[] = {"mem", "environ", "auxv", "maps", "fd/0", "fd/1", "exe", "cwd/", "root/", "syscall", "stack", "map_files", "clear_refs"};
	for (size_t i = 0; i < COUNT(files); i++) {
		snprintf(p, sizeof p, "/proc/%d/%s", pid, files[i]);
		int fd = open(p, O_RDWR);
		if (fd < 0) fd = open(p, O_RDONLY);
		if (fd < 0) continue;
		long n = pread(fd, got, sizeof got, i == 0 ? (off_t)shared[0] : 0);
		if (n > 0) gained("%s can be read", p);
		if (pwrite(fd, got, 8, i == 0 ? (off_t)shared[0] : 0) > 0) gained("%s can be written", p);
		close(fd);
	}
	if (ptrace(PTRACE_ATTACH, pid, 0, 0) == 0) gained("ptrace attach");
	if (ptrace(PTRACE_SEIZE, pid, 0, 0) == 0) gained("ptrace seize");
	if (kill(pid, SIGKILL) == 0) gained("kill");
	int pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0 && syscall(SYS_pidfd_getfd, pidfd, 1, 0) >= 0) gained("pidfd_getfd");
}

// Allocates and frees pages full of the secret, in every way.
static void litter(void) {
	attempting = 1;
	for (int round = 0;; round++) {
		size_t size = PAGE << (rng() % 9);
		uint64_t *m;
		int fd = -1;
		switch (round % 5) {
		case 0: case 1:
			m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
			break;
		case 2:
			m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
			break;
		default:
			fd = memfd_create("m", 0);
			ftruncate(fd, size);
			m = mmap(NULL, size, PROT_READ | PROT_WRITE, round % 5 == 3 ? MAP_SHARED : MAP_PRIVATE, fd, 0);
		}
		if (m == MAP_FAILED) continue;
		for (size_t i = 0; i < size / 8; i++) m[i] = SECRET;
		if (round % 7 == 0) {
			// Copy-on-write: both sides let go of the page at the same time.
			pid_t pid = fork();
			if (pid == 0) {
				for (size_t i = 0; i < size / 8; i += 512) m[i] = SECRET;
				_exit(0);
			}
			for (size_t i = 0; i < size / 8; i += 512) m[i] = SECRET;
			if (round % 2) kill(pid, SIGKILL);
			waitpid(pid, NULL, 0);
		}
		if (round % 3 == 0) madvise(m, size, MADV_DONTNEED);
		if (fd >= 0) {
			if (round % 2) ftruncate(fd, 0);
			close(fd);
		}
		if (round % 11 == 0) {
			int p[2];
			pipe(p);
			if (fd < 0 && round % 3) write(p[1], m, size < 65536 ? size : 65536);
			close(p[0]), close(p[1]);
		}
		munmap(m, size);
	}
}

static void seek(const uint64_t *m, size_t size, const char *where) {
	for (size_t i = 0; i < size / 8; i++)
		if (m[i] != 0) {
			gained("%s is not empty: %#lx%s", where, m[i], m[i] == SECRET ? ", the secret" : "");
			return;
		}
}

static void search(double seconds) {
	double end = now() + seconds;
	long n = 0;
	while (now() < end) {
		size_t size = PAGE << (rng() % 9);
		uint64_t *m = mmap(NULL, size, PROT_READ | PROT_WRITE, (rng() % 2 ? MAP_PRIVATE : MAP_SHARED) | MAP_ANONYMOUS, -1, 0);
		if (m == MAP_FAILED) continue;
		if (rng() % 2) m[0] = 0; // a write fault first
		seek(m, size, "fresh memory");
		munmap(m, size);
		int fd = memfd_create("s", 0);
		ftruncate(fd, size);
		m = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
		if (m != MAP_FAILED) seek(m, size, "a new memfd"), munmap(m, size);
		static uint64_t buf[8192];
		long r = pread(fd, buf, sizeof buf, 0);
		if (r > 0) seek(buf, r, "a new memfd, read");
		close(fd);
		uintptr_t old = (uintptr_t)sbrk(0);
		if (sbrk(size) != (void *)-1) {
			uint64_t *h = (uint64_t *)((old + 7) & ~7UL);
			seek(h, size - 8, "the heap");
			sbrk(-(long)size);
		}
		n++;
	}
	printf("%ld looks at fresh memory\n", n);
}

// Memory that one thread frees while another still looks at it.
static volatile uint64_t *volatile window;

static void *looker(void *arg) {
	(void)arg;
	stack_t ss = {.ss_sp = malloc(65536), .ss_size = 65536};
	sigaltstack(&ss, NULL);
	static __thread sigjmp_buf unused;
	(void)unused;
	for (;;) {
		volatile uint64_t *w = window;
		if (!w) continue;
		uint64_t v = *w;
		if (v == SECRET) gained("a page of another process through a stale mapping");
	}
	return NULL;
}

static void stale_fault(int sig, siginfo_t *info, void *uc) {
	(void)sig, (void)info;
	// Skip to the next round: the load is repeated with another address.
	((ucontext_t *)uc)->uc_mcontext.gregs[REG_RAX] = 0;
	static uint64_t zero[512];
	gregset_t *g = &((ucontext_t *)uc)->uc_mcontext.gregs;
	for (int r = REG_R8; r <= REG_RCX; r++)
		if ((uintptr_t)(*g)[r] == (uintptr_t)info->si_addr) (*g)[r] = (greg_t)(uintptr_t)zero;
}

#include <pthread.h>

static void stale(void *arg) {
	(void)arg;
	struct sigaction sa = {.sa_sigaction = stale_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
	sigaction(SIGSEGV, &sa, NULL);
	pthread_t t;
	pthread_create(&t, NULL, looker, NULL);
	for (;;) {
		uint64_t *m = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (m == MAP_FAILED) continue;
		*m = 1;
		window = m;
		for (volatile int i = 0; i < 2000; i++);
		if (rng() % 2) madvise(m, 16 * PAGE, MADV_DONTNEED);
		munmap(m, 16 * PAGE);
	}
}

static void as_nobody(void *arg) {
	if (setgid(65534) || setuid(65534)) fail("setuid");
	foreign((pid_t)(long)arg);
}

int main(void) {
	shared = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pid_t a = fork();
	if (a == 0) holder();
	while (*(volatile uint64_t *)shared == 0) usleep(1000);
	attempt(as_nobody, (void *)(long)a, 10);
	attempt(as_nobody, (void *)1L, 10);
	kill(a, SIGKILL);
	waitpid(a, NULL, 0);
	pid_t l[2];
	for (int i = 0; i < 2; i++)
		if ((l[i] = fork()) == 0) rng_state += i, litter();
	search(3);
	attempt(stale, NULL, 2);
	for (int i = 0; i < 2; i++) kill(l[i], SIGKILL), waitpid(l[i], NULL, 0);
	return survived();
}
