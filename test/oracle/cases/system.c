// uname(2), sysinfo(2), personality(2), rlimits, priorities, scheduling, affinity, rseq(2),
// membarrier(2), getcpu(2), ENOSYS, calls that need privileges.
#include "oracle.h"
#include <linux/membarrier.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/swap.h>
#include <sys/reboot.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

CASE(uname_fields)
{
	struct utsname u;
	OK(uname(&u));
	STREQ(u.sysname, "Linux");
	STREQ(u.machine, "x86_64");
	CHECK(strlen(u.nodename) > 0 && strlen(u.release) > 0 && strlen(u.version) > 0);
	CHECK(u.version[0] == '#');
	int a, b;
	EQ(sscanf(u.release, "%d.%d", &a, &b), 2);
	CHECK(a >= 4);
	ERR(syscall(SYS_uname, BAD_PTR), EFAULT);
}

CASE(personality_calls)
{
	EQ(personality(0xffffffff), 0);
	OK(personality(ADDR_NO_RANDOMIZE));
	EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
	CHILD(k) {
		EQ(personality(0xffffffff), ADDR_NO_RANDOMIZE);
	}
	REAP(k);
	struct utsname u;
	OK(personality(PER_LINUX32));
	OK(uname(&u));
	STREQ(u.machine, "i686");
}

CASE(sysinfo_fields)
{
	struct sysinfo s;
	OK(sysinfo(&s));
	CHECK(s.totalram > 0 && s.freeram <= s.totalram && s.mem_unit >= 1 && s.procs > 0 && s.uptime > 0);
	ERR(syscall(SYS_sysinfo, BAD_PTR), EFAULT);
}

CASE(rlimit_get_and_set)
{
	struct rlimit r, s;
	OK(getrlimit(RLIMIT_NOFILE, &r));
	CHECK(r.rlim_cur <= r.rlim_max);
	s = (struct rlimit){50, 60};
	OK(setrlimit(RLIMIT_NOFILE, &s));
	OK(getrlimit(RLIMIT_NOFILE, &r));
	EQ(r.rlim_cur, 50);
	EQ(r.rlim_max, 60);
	s.rlim_cur = 61;
	ERR(setrlimit(RLIMIT_NOFILE, &s), EINVAL);
	ERR(setrlimit(99, &s), EINVAL);
	ERR(getrlimit(99, &s), EINVAL);
	ERR(syscall(SYS_getrlimit, 1, BAD_PTR), EFAULT);
	CHILD(k) {
		become_nobody();
		s = (struct rlimit){50, 1000};
		ERR(setrlimit(RLIMIT_NOFILE, &s), EPERM);
		s = (struct rlimit){60, 60};
		OK(setrlimit(RLIMIT_NOFILE, &s));
	}
	REAP(k);
}

CASE(prlimit_of_child)
{
	struct rlimit n = {33, 44}, old, now;
	CHILD(k) {
		for (;;)
			pause();
	}
	OK(prlimit(k, RLIMIT_NOFILE, &n, &old));
	CHECK(old.rlim_max > 44);
	OK(prlimit(k, RLIMIT_NOFILE, NULL, &now));
	EQ(now.rlim_cur, 33);
	EQ(now.rlim_max, 44);
	ERR(prlimit(4000000, RLIMIT_NOFILE, NULL, &now), ESRCH);
	CHILD(m) {
		become_nobody();
		ERR(prlimit(k, RLIMIT_NOFILE, NULL, &now), EPERM);
	}
	REAP(m);
	OK(kill(k, SIGKILL));
	REAP_SIGNAL(k, SIGKILL);
}

CASE(rlimit_cpu_sends_sigxcpu)
{
	CHILD(k) {
		OK(setrlimit(RLIMIT_CPU, &(struct rlimit){1, 2}));
		for (;;)
			;
	}
	REAP_SIGNAL(k, SIGXCPU);
}

CASE(rlimit_infinity_values)
{
	struct rlimit r;
	OK(getrlimit(RLIMIT_FSIZE, &r));
	EQ(r.rlim_cur, RLIM_INFINITY);
	OK(setrlimit(RLIMIT_FSIZE, &(struct rlimit){RLIM_INFINITY, RLIM_INFINITY}));
}

CASE(priorities)
{
	int base = getpriority(PRIO_PROCESS, 0);
	CHECK(base >= -20 && base <= 19);
	EQ(syscall(SYS_getpriority, PRIO_PROCESS, 0), 20 - base);
	OK(setpriority(PRIO_PROCESS, 0, base));
	OK(setpriority(PRIO_PROCESS, 0, 100));
	EQ(getpriority(PRIO_PROCESS, 0), 19); // clipped
	ERR(getpriority(9, 0), EINVAL);
	ERR(getpriority(PRIO_PROCESS, 4000000), ESRCH);
	CHILD(k) {
		become_nobody();
		ERR(setpriority(PRIO_PROCESS, 0, 5), EACCES);
		ERR(setpriority(PRIO_PROCESS, getppid(), 19), EPERM);
	}
	REAP(k);
}

CASE(scheduler_policies)
{
	struct sched_param p = {0};
	EQ(sched_getscheduler(0), SCHED_OTHER);
	OK(sched_getparam(0, &p));
	EQ(p.sched_priority, 0);
	EQ(sched_get_priority_max(SCHED_FIFO), 99);
	EQ(sched_get_priority_min(SCHED_RR), 1);
	EQ(sched_get_priority_max(SCHED_OTHER), 0);
	ERR(sched_get_priority_max(99), EINVAL);
	p.sched_priority = 5;
	ERR(sched_setscheduler(0, SCHED_OTHER, &p), EINVAL);
	ERR(sched_setscheduler(0, 99, &p), EINVAL);
	ERR(sched_getscheduler(4000000), ESRCH);
	p.sched_priority = 0;
	OK(sched_setscheduler(0, SCHED_BATCH, &p));
	EQ(sched_getscheduler(0), SCHED_BATCH);
	OK(sched_yield());
	struct timespec ts;
	OK(sched_rr_get_interval(0, &ts));
	CHILD(k) {
		become_nobody();
		p.sched_priority = 1;
		ERR(sched_setscheduler(0, SCHED_FIFO, &p), EPERM);
	}
	REAP(k);
}

CASE(affinity)
{
	cpu_set_t s, t;
	int n = OK(syscall(SYS_sched_getaffinity, 0, sizeof s, &s));
	CHECK(n >= 8 && n % 8 == 0);
	CPU_ZERO(&s);
	OK(sched_getaffinity(0, sizeof s, &s));
	CHECK(CPU_COUNT(&s) >= 1);
	int first = 0;
	while (!CPU_ISSET(first, &s))
		first++;
	CPU_ZERO(&t);
	CPU_SET(first, &t);
	OK(sched_setaffinity(0, sizeof t, &t));
	CPU_ZERO(&s);
	OK(sched_getaffinity(0, sizeof s, &s));
	CHECK(CPU_EQUAL(&s, &t));
	unsigned cpu = 99999, node;
	OK(syscall(SYS_getcpu, &cpu, &node, NULL));
	EQ(cpu, first);
	CHILD(k) {
		CPU_ZERO(&s);
		OK(sched_getaffinity(0, sizeof s, &s));
		CHECK(CPU_EQUAL(&s, &t)); // inherited
	}
	REAP(k);
	CPU_ZERO(&t);
	ERR(sched_setaffinity(0, sizeof t, &t), EINVAL);
	ERR(syscall(SYS_sched_getaffinity, 0, 1, &s), EINVAL);
	ERR(syscall(SYS_sched_getaffinity, 4000000, sizeof s, &s), ESRCH);
}

CASE(membarrier_commands)
{
	int m = OK(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0));
	CHECK(m & MEMBARRIER_CMD_PRIVATE_EXPEDITED);
	ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0), EPERM);
	OK(syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0));
	OK(syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0));
	ERR(syscall(SYS_membarrier, 1 << 30, 0, 0), EINVAL);
	ERR(syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 1, 0), EINVAL);
}

static struct {
	uint32_t cpu_id_start, cpu_id;
	uint64_t cs;
	uint32_t flags, pad[3];
} __attribute__((aligned(32))) rs;


CASE(rseq_registration)
{
	// the C library of this program may have registered one: do it in a raw clone,
	// where registration is not inherited (CLONE_VM)
	rs.cpu_id = (uint32_t)-1;
	pid_t k = OK(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0));
	if (k == 0) {
		char *area = NULL;
		extern const ptrdiff_t __rseq_offset __attribute__((weak));
		extern const unsigned __rseq_size __attribute__((weak));
		if (&__rseq_size && __rseq_size) {
			area = (char *)__builtin_thread_pointer() + __rseq_offset;
			OK(syscall(SYS_rseq, area, 32, 1, 0x53053053)); // unregister
		}
		ERR(syscall(SYS_rseq, &rs, 31, 0, 0x53053053), EINVAL);
		OK(syscall(SYS_rseq, &rs, 32, 0, 0x53053053));
		getpid();
		CHECK(rs.cpu_id < 4096);
		EQ(rs.cpu_id, rs.cpu_id_start);
		ERR(syscall(SYS_rseq, &rs, 32, 0, 0x53053053), EBUSY);
		ERR(syscall(SYS_rseq, &rs, 32, 1, 0x1111), EPERM);
		OK(syscall(SYS_rseq, &rs, 32, 1, 0x53053053));
		_exit(0);
	}
	REAP(k);
}

CASE(unknown_calls_give_enosys)
{
	ERR(syscall(1000), ENOSYS);
	ERR(syscall(100000), ENOSYS);
	ERR(syscall(-2), ENOSYS);
	ERR(syscall(SYS_tuxcall), ENOSYS);
	ERR(syscall(SYS_getpmsg), ENOSYS);
	ERR(syscall(SYS_afs_syscall), ENOSYS);
}

CASE(privileged_calls_are_refused_to_others)
{
	CHILD(k) {
		become_nobody();
		ERR(mount("none", "/tmp", "tmpfs", 0, NULL), EPERM);
		ERR(umount("/proc"), EPERM);
		ERR(swapon("none", 0), EPERM);
		ERR(syscall(SYS_sethostname, "x", 1), EPERM);
		ERR(syscall(SYS_pivot_root, "/", "/"), EPERM);
		ERR(reboot(RB_DISABLE_CAD), EPERM);
		ERR(syscall(SYS_acct, NULL), EPERM);
		ERR(syscall(SYS_vhangup), EPERM);
		ERR(unshare(CLONE_NEWUTS), EPERM);
	}
	REAP(k);
}

CASE(getcpu_errors)
{
	OK(syscall(SYS_getcpu, NULL, NULL, NULL));
	ERR(syscall(SYS_getcpu, BAD_PTR, NULL, NULL), EFAULT);
}

CASE(getpid_family_raw)
{
	EQ(syscall(SYS_getpid), getpid());
	EQ(syscall(SYS_getppid), getppid());
	EQ(syscall(SYS_getuid), 0);
	EQ(syscall(SYS_geteuid), 0);
	EQ(syscall(SYS_getgid), 0);
	EQ(syscall(SYS_getegid), 0);
	EQ(syscall(SYS_gettid), getpid());
	EQ(syscall(SYS_getpgrp), getpid());
}

CASE(system_call_preserves_registers)
{
	long bx, bp, r8, r9, r10, r12, r15, di, si, dx, ret, cx, r11;
	__asm__ volatile("mov $1, %%rbx\n mov $8, %%r8\n mov $9, %%r9\n mov $10, %%r10\n"
			 "mov $12, %%r12\n mov $15, %%r15\n mov $4, %%rdi\n mov $5, %%rsi\n mov $6, %%rdx\n"
			 "mov $39, %%rax\n syscall\n"
			 "mov %%rax, %[ret]\n mov %%rbx, %[bx]\n mov %%r8, %[r8]\n mov %%r9, %[r9]\n mov %%r10, %[r10]\n"
			 "mov %%r12, %[r12]\n mov %%r15, %[r15]\n mov %%rdi, %[di]\n mov %%rsi, %[si]\n mov %%rdx, %[dx]\n"
			 "mov %%rcx, %[cx]\n mov %%r11, %[r11]\n"
			 : [ret] "=m"(ret), [bx] "=m"(bx), [r8] "=m"(r8), [r9] "=m"(r9), [r10] "=m"(r10), [r12] "=m"(r12),
			   [r15] "=m"(r15), [di] "=m"(di), [si] "=m"(si), [dx] "=m"(dx), [cx] "=m"(cx), [r11] "=m"(r11)
			 :
			 : "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r15", "memory", "cc");
	(void)bp, (void)cx, (void)r11;
	EQ(ret, getpid());
	EQ(bx, 1);
	EQ(r8, 8);
	EQ(r9, 9);
	EQ(r10, 10);
	EQ(r12, 12);
	EQ(r15, 15);
	EQ(di, 4);
	EQ(si, 5);
	EQ(dx, 6);
}

CASE(system_call_number_is_32_bits)
{
	long ret;
	__asm__ volatile("syscall" : "=a"(ret) : "a"(0x100000000L | SYS_getpid) : "rcx", "r11", "memory");
	CHECK(ret == getpid()); // the upper half of rax is not looked at
}

CASE(ptrace_basic)
{
	int st;
	CHILD(k) {
		OK(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
		raise(SIGSTOP);
		_exit(7);
	}
	EQ(waitpid(k, &st, 0), k);
	CHECK(WIFSTOPPED(st) && WSTOPSIG(st) == SIGSTOP);
	OK(ptrace(PTRACE_CONT, k, NULL, NULL));
	REAP_EXIT(k, 7);
	ERR(ptrace(PTRACE_CONT, 4000000, NULL, NULL), ESRCH);
}
