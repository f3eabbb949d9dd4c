// Plain system calls, signals and time.
#include "micro.h"
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>

static char page[4096];

static void getppid_call(long n)
{
	start();
	while (n--)
		syscall(SYS_getppid);
	stop();
}

static void getpid_call(long n)
{
	start();
	while (n--)
		syscall(SYS_getpid);
	stop();
}

static void clock_vdso(long n)
{
	struct timespec t;
	start();
	while (n--)
		clock_gettime(CLOCK_MONOTONIC, &t);
	stop();
}

static void write_null(long n)
{
	int fd = open("/dev/null", O_WRONLY);
	CHECK(fd >= 0);
	start();
	while (n--)
		CHECK(write(fd, page, 1) == 1);
	stop();
	close(fd);
}

static void read_zero(long n)
{
	int fd = open("/dev/zero", O_RDONLY);
	CHECK(fd >= 0);
	start();
	while (n--)
		CHECK(read(fd, page, sizeof page) == sizeof page);
	stop();
	close(fd);
}

static void mask(long n)
{
	sigset_t set, old;
	sigemptyset(&set);
	start();
	while (n--)
		sigprocmask(SIG_BLOCK, &set, &old);
	stop();
}

static volatile sig_atomic_t handled;
static void handler(int sig) { handled += sig != 0; }

static void signal_self(long n)
{
	signal(SIGUSR1, handler);
	start();
	while (n--)
		raise(SIGUSR1);
	stop();
}

static void fault_signal_jump(int sig, siginfo_t *info, void *context)
{
	(void)context;
	CHECK(sig == SIGTRAP && info->si_code > 0);
	handled++;
}

static void trap_signal(long n)
{
	struct sigaction a = { .sa_sigaction = fault_signal_jump, .sa_flags = SA_SIGINFO };
	CHECK(!sigaction(SIGTRAP, &a, NULL));
	start();
	while (n--)
#if defined __x86_64__
		__asm__ volatile("int3");
#else
		__asm__ volatile("brk #0");
#endif
	stop();
}

static void event_cycle(long n)
{
	int e = epoll_create1(0), fd = eventfd(0, EFD_NONBLOCK);
	struct epoll_event ev = { .events = EPOLLIN };
	uint64_t one = 1;
	CHECK(e >= 0 && fd >= 0 && !epoll_ctl(e, EPOLL_CTL_ADD, fd, &ev));
	start();
	while (n--) {
		CHECK(write(fd, &one, 8) == 8);
		CHECK(epoll_wait(e, &ev, 1, -1) == 1);
		CHECK(read(fd, &one, 8) == 8);
	}
	stop();
	close(e);
	close(fd);
}

static void sleep_100us(long n)
{
	struct timespec t = { 0, 100000 };
	start();
	while (n--)
		nanosleep(&t, NULL);
	stop();
}

static void compute(long n)
{
	volatile unsigned long x = 1;
	start();
	while (n--)
		for (int i = 0; i < 1000; i++)
			x = x * 2862933555777941757UL + 3037000493UL;
	stop();
}

const struct measurement calls[] = {
	{ "getppid", getppid_call },
	{ "getpid", getpid_call },
	{ "clock_gettime", clock_vdso },
	{ "write_devnull", write_null },
	{ "read_devzero_4k", read_zero },
	{ "sigprocmask", mask },
	{ "raise_signal", signal_self },
	{ "trap_signal", trap_signal },
	{ "eventfd_epoll", event_cycle },
	{ "nanosleep_100us", sleep_100us },
	{ "compute_1000", compute },
	{ NULL, NULL },
};
