// What siginfo_t and the frame tell a handler: sigaction(2), tgkill(2), faults, traps,
// rt_sigqueueinfo(2).
#include "oracle.h"
#include <ucontext.h>

static volatile sig_atomic_t count;
static volatile siginfo_t info;

static void note_info(int s, siginfo_t *si, void *uc)
{
	(void)s, (void)uc;
	info = *si;
	count++;
}

static void catch_info(int sig, int flags)
{
	struct sigaction sa = {.sa_sigaction = note_info, .sa_flags = SA_SIGINFO | SA_RESTART | flags};
	OK(sigaction(sig, &sa, NULL));
}

CASE(tgkill_and_tkill)
{
	catch_info(SIGUSR1, 0);
	OK(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1));
	EQ(count, 1);
	EQ(info.si_code, SI_TKILL);
	EQ(info.si_pid, getpid());
	OK(syscall(SYS_tkill, gettid(), SIGUSR1));
	EQ(count, 2);
	ERR(syscall(SYS_tgkill, getpid(), 4000000, SIGUSR1), ESRCH);
	ERR(syscall(SYS_tgkill, getpid() + 1, gettid(), SIGUSR1), ESRCH);
	ERR(syscall(SYS_tgkill, -1, gettid(), SIGUSR1), EINVAL);
	ERR(syscall(SYS_tkill, 0, SIGUSR1), EINVAL);
	ERR(syscall(SYS_tgkill, getpid(), gettid(), 65), EINVAL);
}

CASE(siginfo_of_kill)
{
	catch_info(SIGUSR1, 0);
	CHILD(k) {
		OK(kill(getppid(), SIGUSR1));
	}
	REAP(k);
	EQ(count, 1);
	EQ(info.si_signo, SIGUSR1);
	EQ(info.si_code, SI_USER);
	EQ(info.si_pid, k);
	EQ(info.si_uid, 0);
	EQ(info.si_errno, 0);
}

CASE(siginfo_of_sigqueue)
{
	catch_info(SIGUSR1, 0);
	CHILD(k) {
		union sigval v = {.sival_ptr = (void *)0x123456789abc};
		OK(sigqueue(getppid(), SIGUSR1, v));
	}
	REAP(k);
	EQ(info.si_code, SI_QUEUE);
	EQ(info.si_pid, k);
	CHECK(info.si_value.sival_ptr == (void *)0x123456789abc);
}

CASE(rt_sigqueueinfo_forging)
{
	siginfo_t si = {0};
	catch_info(SIGUSR1, 0);
	si.si_code = SI_USER; // a code that only the kernel gives, to another process
	CHILD(k) {
		ERR(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si), EPERM);
		si.si_code = -42;
		si.si_pid = 4711;
		OK(syscall(SYS_rt_sigqueueinfo, getppid(), SIGUSR1, &si));
	}
	REAP(k);
	EQ(count, 1);
	EQ(info.si_code, -42);
	EQ(info.si_pid, 4711);
	si.si_code = SI_USER;
	OK(syscall(SYS_rt_sigqueueinfo, getpid(), SIGUSR1, &si)); // to oneself it may
	EQ(info.si_code, SI_USER);
	OK(syscall(SYS_rt_tgsigqueueinfo, getpid(), gettid(), SIGUSR1, &si));
	EQ(count, 3);
}

CASE(siginfo_of_child)
{
	sigset_t s;
	sigemptyset(&s);
	sigaddset(&s, SIGCHLD);
	siginfo_t si;
	OK(sigprocmask(SIG_BLOCK, &s, NULL));
	CHILD(k) {
		_exit(42);
	}
	EQ(sigwaitinfo(&s, &si), SIGCHLD);
	EQ(si.si_code, CLD_EXITED);
	EQ(si.si_status, 42);
	EQ(si.si_pid, k);
	EQ(si.si_uid, 0);
	REAP_EXIT(k, 42);
	CHILD(m) {
		raise(SIGKILL);
	}
	EQ(sigwaitinfo(&s, &si), SIGCHLD);
	EQ(si.si_code, CLD_KILLED);
	EQ(si.si_status, SIGKILL);
	REAP_SIGNAL(m, SIGKILL);
}

static char *fault_page;
static void check_maperr(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;
	EQ(sig, SIGSEGV);
	EQ(si->si_code, SEGV_MAPERR);
	CHECK(si->si_addr == fault_page + 123);
	EQ(u->uc_mcontext.gregs[REG_TRAPNO], 14);
	EQ(u->uc_mcontext.gregs[REG_ERR] & 7, 6); // user write to a page not present
	EQ(u->uc_mcontext.gregs[REG_CR2], (long)(fault_page + 123));
	_exit(33);
}

CASE(siginfo_of_segv_unmapped)
{
	CHILD(k) {
		char *m = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
		OK(munmap(m, 4096));
		struct sigaction sa = {.sa_sigaction = check_maperr, .sa_flags = SA_SIGINFO};
		fault_page = m;
		OK(sigaction(SIGSEGV, &sa, NULL));
		*(volatile char *)(m + 123) = 1;
	}
	REAP_EXIT(k, 33);
}

static void check_accerr(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	EQ(sig, SIGSEGV);
	EQ(si->si_code, SEGV_ACCERR);
	CHECK(si->si_addr == fault_page + 7);
	OK(mprotect(fault_page, 4096, PROT_READ | PROT_WRITE));
	count++;
}

CASE(siginfo_of_segv_protection)
{
	fault_page = OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	struct sigaction sa = {.sa_sigaction = check_accerr, .sa_flags = SA_SIGINFO};
	OK(sigaction(SIGSEGV, &sa, NULL));
	*(volatile char *)(fault_page + 7) = 9; // goes on after the handler
	EQ(fault_page[7], 9);
	EQ(count, 1);
}

static void check_fpe(int sig, siginfo_t *si, void *uc)
{
	(void)uc;
	EQ(sig, SIGFPE);
	EQ(si->si_code, FPE_INTDIV);
	CHECK(si->si_addr != NULL);
	_exit(5);
}

CASE(siginfo_of_division_by_zero)
{
	CHILD(k) {
		struct sigaction sa = {.sa_sigaction = check_fpe, .sa_flags = SA_SIGINFO};
		OK(sigaction(SIGFPE, &sa, NULL));
		__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; idivl %%ecx" : : : "eax", "ecx", "edx", "cc");
	}
	REAP_EXIT(k, 5);
	CHILD(m) {
		__asm__ volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx; idivl %%ecx" : : : "eax", "ecx", "edx", "cc");
	}
	REAP_SIGNAL(m, SIGFPE);
}

static void skip_ud2(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;
	EQ(sig, SIGILL);
	EQ(si->si_code, ILL_ILLOPN);
	EQ((long)si->si_addr, u->uc_mcontext.gregs[REG_RIP]);
	u->uc_mcontext.gregs[REG_RIP] += 2; // the handler may change the registers
	u->uc_mcontext.gregs[REG_RBX] = 0x1234;
	count++;
}

CASE(siginfo_of_illegal_instruction)
{
	struct sigaction sa = {.sa_sigaction = skip_ud2, .sa_flags = SA_SIGINFO};
	long rbx = 0;
	OK(sigaction(SIGILL, &sa, NULL));
	__asm__ volatile("ud2\n\tmov %%rbx, %0" : "=r"(rbx) : : "rbx", "memory");
	EQ(count, 1);
	EQ(rbx, 0x1234);
}

CASE(siginfo_of_breakpoint)
{
	catch_info(SIGTRAP, 0);
	__asm__ volatile("int3");
	EQ(count, 1);
	EQ(info.si_signo, SIGTRAP);
	EQ(info.si_code, SI_KERNEL);
}

static void check_trace(int sig, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;
	EQ(sig, SIGTRAP);
	EQ(si->si_code, TRAP_TRACE);
	u->uc_mcontext.gregs[REG_EFL] &= ~0x100L;
	count++;
}

CASE(single_step_trap_flag)
{
	struct sigaction sa = {.sa_sigaction = check_trace, .sa_flags = SA_SIGINFO};
	OK(sigaction(SIGTRAP, &sa, NULL));
	__asm__ volatile("pushfq; orq $0x100, (%%rsp); popfq; nop; nop; nop" : : : "memory", "cc");
	EQ(count, 1);
}

static void check_kernel(int s, siginfo_t *si, void *uc)
{
	(void)uc;
	EQ(s, SIGSEGV);
	EQ(si->si_code, SI_KERNEL); // non-canonical address
	CHECK(si->si_addr == NULL);
	_exit(6);
}

CASE(siginfo_of_general_protection)
{
	CHILD(k) {
		struct sigaction sa = {.sa_sigaction = check_kernel, .sa_flags = SA_SIGINFO};
		OK(sigaction(SIGSEGV, &sa, NULL));
		*(volatile char *)0x8000000000000000 = 1;
	}
	REAP_EXIT(k, 6);
	CHILD(m) {
		__asm__ volatile("hlt");
	}
	REAP_SIGNAL(m, SIGSEGV);
}

static void check_bus(int s, siginfo_t *si, void *uc)
{
	(void)uc;
	EQ(s, SIGBUS);
	EQ(si->si_code, BUS_ADRERR);
	CHECK(si->si_addr == fault_page + 5000);
	_exit(7);
}

CASE(siginfo_of_bus_error)
{
	CHILD(k) {
		int fd = OK(open("f", O_CREAT | O_RDWR, 0600));
		OK(ftruncate(fd, 100));
		char *m = OK(mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0));
		fault_page = m;
		struct sigaction sa = {.sa_sigaction = check_bus, .sa_flags = SA_SIGINFO};
		OK(sigaction(SIGBUS, &sa, NULL));
		EQ(m[200], 0); // the rest of the last page reads as zeros
		(void)*(volatile char *)(m + 5000);
	}
	REAP_EXIT(k, 7);
}

CASE(blocked_fault_kills)
{
	CHILD(k) {
		sigset_t s;
		sigemptyset(&s);
		sigaddset(&s, SIGSEGV);
		set_handler(SIGSEGV, on_tick, 0);
		OK(sigprocmask(SIG_BLOCK, &s, NULL));
		*(volatile char *)8 = 1;
	}
	REAP_SIGNAL(k, SIGSEGV);
	CHILD(m) {
		signal(SIGSEGV, SIG_IGN);
		*(volatile char *)8 = 1;
	}
	REAP_SIGNAL(m, SIGSEGV);
}
