// Every system call with made-up arguments, by the usual instruction. Whatever is
// answered, the sentry must live.
#include "hostile.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

static unsigned char *buffer;
static const int sizes = 1 << 20;

static uint64_t value(void) {
	static const uint64_t odd[] = {0, 1, 2, ~0UL, 0x7fffffff, 0x80000000, 0xffffffff, 1UL << 31, 1UL << 32, 1UL << 47, (1UL << 47) - 4096, 1UL << 62, 1UL << 63,
		(1UL << 63) - 1, 0x7fffffffffff, 4096, 4095, 4097, (uint64_t)AT_FDCWD, STUB_START, 0xffffffffff600000UL, 65536, 1 << 30};
	switch (rng() % 8) {
	case 0: return odd[rng() % COUNT(odd)];
	case 1: return rng() % 64;
	case 2: return 1UL << (rng() % 64);
	case 3: return rng() >> (rng() % 64);
	case 4: return (uint64_t)buffer + sizes - rng() % 64; // it ends at a page that is not there
	default: return (uint64_t)buffer + (rng() % sizes & ~7UL);
	}
}

static void fill(void) {
	uint64_t *p = (uint64_t *)buffer;
	for (int i = 0; i < sizes / 8; i += 1 + rng() % 4) p[i] = value();
	for (int i = 0; i < 20; i++) strcpy((char *)buffer + (rng() % (sizes - 64) & ~7UL), i % 3 == 0 ? "/proc/self/mem" : i % 3 == 1 ? "/tmp/f" : "/dev/ptmx");
}

static int skipped(long nr) {
	switch (nr) {
	case SYS_rt_sigreturn: case SYS_exit: case SYS_exit_group: case SYS_pause: case SYS_vfork: case SYS_fork: case SYS_clone: case SYS_clone3: case SYS_rt_sigsuspend: case SYS_kill:
		return 1;
	}
	return 0;
}

static void go(void *arg) {
	rng_state = (uint64_t)arg * 0x9e3779b97f4a7c15UL + 88172645463325252UL;
	for (int i = 0; i < 20; i++) rng();
	char *m = mmap(NULL, sizes + 2 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(m + sizes, PAGE, PROT_NONE);
	buffer = (unsigned char *)m;
	int null = open("/dev/null", O_RDWR); // not what the parent reports by
	for (int fd = 0; fd < 3; fd++) dup2(null, fd);
	chdir("/tmp");
	open("/tmp", O_RDONLY), open("/tmp/f", O_RDWR | O_CREAT, 0666), open("/proc/self/maps", O_RDONLY), open("/dev/ptmx", O_RDWR | O_NOCTTY);
	int p[2];
	pipe(p), epoll_create1(0), eventfd(1, 0), socketpair(AF_UNIX, SOCK_STREAM, 0, p), socketpair(AF_UNIX, SOCK_SEQPACKET, 0, p);
	socket(AF_INET, SOCK_STREAM, 0), socket(AF_INET, SOCK_DGRAM, 0), socket(AF_INET6, SOCK_STREAM, 0), socket(AF_NETLINK, SOCK_RAW, 0), memfd_create("x", MFD_ALLOW_SEALING);
	struct rlimit files = {1 << 30, 1 << 30};
	setrlimit(RLIMIT_FSIZE, &files);
	signal(SIGXFSZ, SIG_IGN);
	for (int s = 1; s < 32; s++) if (s != SIGSEGV && s != SIGALRM) signal(s, SIG_IGN);
	signal(SIGALRM, SIG_DFL);
	for (int i = 0; i < 400; i++) {
		if (i % 16 == 0) fill();
		long nr = rng() % 470;
		if (rng() % 40 == 0) nr = rng() >> rng() % 64;
		if (skipped(nr & 0xffffffff)) continue;
		uint64_t a[6];
		for (int j = 0; j < 6; j++) a[j] = value();
		if (rng() % 2) a[0] = rng() % 24; // a descriptor
		if ((nr == SYS_tkill || nr == SYS_tgkill || nr == SYS_rt_sigqueueinfo || nr == SYS_rt_tgsigqueueinfo) && (int)a[0] <= 1) a[0] = getpid();
		syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	}
}

int main(int argc, char **argv) {
	int rounds = argc > 1 ? atoi(argv[1]) : 50;
	long seed = argc > 2 ? atol(argv[2]) : time(NULL);
	printf("seed %ld\n", seed);
	unprivileged(200);
	for (int i = 0; i < rounds; i++) {
		printf("%ld\n", seed + i);
		attempt(go, (void *)(seed + i), 0.4);
	}
	return survived();
}
