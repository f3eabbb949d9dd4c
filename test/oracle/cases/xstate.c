// Extended processor state: SSE, AVX and AVX-512 registers, MXCSR and the x87 control word
// over system calls, signals, fork, threads; what a signal frame holds; cpuid.
#include "oracle.h"
#include <cpuid.h>
#include <sched.h>
#include <ucontext.h>

static int have_avx(void)
{
	unsigned a, b, c, d;
	return __get_cpuid(1, &a, &b, &c, &d) && c >> 28 & 1 && c >> 27 & 1;
}

static int have_avx512(void)
{
	unsigned a, b, c, d;
	return have_avx() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && b >> 16 & 1;
}

// Each load fills registers 0 to 15 (31) from area; each store writes them to it.
#define SSE(op, a) \
	__asm__ volatile(op : : "r"(a) : "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", \
			 "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15")

#define LOAD_XMM "movups (%0), %%xmm0; movups 16(%0), %%xmm1; movups 32(%0), %%xmm7; movups 48(%0), %%xmm8; movups 64(%0), %%xmm14; movups 80(%0), %%xmm15"
#define STORE_XMM "movups %%xmm0, (%0); movups %%xmm1, 16(%0); movups %%xmm7, 32(%0); movups %%xmm8, 48(%0); movups %%xmm14, 64(%0); movups %%xmm15, 80(%0)"
#define LOAD_YMM "vmovups (%0), %%ymm0; vmovups 32(%0), %%ymm1; vmovups 64(%0), %%ymm7; vmovups 96(%0), %%ymm8; vmovups 128(%0), %%ymm14; vmovups 160(%0), %%ymm15"
#define STORE_YMM "vmovups %%ymm0, (%0); vmovups %%ymm1, 32(%0); vmovups %%ymm7, 64(%0); vmovups %%ymm8, 96(%0); vmovups %%ymm14, 128(%0); vmovups %%ymm15, 160(%0)"
#define LOAD_ZMM "vmovups (%0), %%zmm0; vmovups 64(%0), %%zmm1; vmovups 128(%0), %%zmm15; vmovups 192(%0), %%zmm16; vmovups 256(%0), %%zmm30; vmovups 320(%0), %%zmm31; kmovw 384(%0), %%k1; kmovw 386(%0), %%k7"
#define STORE_ZMM "vmovups %%zmm0, (%0); vmovups %%zmm1, 64(%0); vmovups %%zmm15, 128(%0); vmovups %%zmm16, 192(%0); vmovups %%zmm30, 256(%0); vmovups %%zmm31, 320(%0); kmovw %%k1, 384(%0); kmovw %%k7, 386(%0)"
#define SYSCALLS "; mov $39, %%eax; syscall; mov $186, %%eax; syscall; mov $24, %%eax; syscall; "

static unsigned char in[512], out[512];

static void fill(void)
{
	for (int i = 0; i < 512; i++)
		in[i] = i * 7 + 1;
	memset(out, 0, sizeof out);
}

CASE(sse_over_system_calls)
{
	fill();
	__asm__ volatile(LOAD_XMM SYSCALLS
			 "mov %1, %0; " STORE_XMM
			 : : "r"(in), "r"(out) : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
	EQ(memcmp(in, out, 96), 0);
}

CASE(avx_over_system_calls)
{
	if (!have_avx())
		SKIP("no AVX");
	fill();
	__asm__ volatile(LOAD_YMM SYSCALLS
			 "mov %1, %0; " STORE_YMM "; vzeroupper"
			 : : "r"(in), "r"(out) : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
	EQ(memcmp(in, out, 192), 0);
}

CASE(avx512_over_system_calls)
{
	if (!have_avx512())
		SKIP("no AVX-512");
	fill();
	__asm__ volatile(LOAD_ZMM SYSCALLS
			 "mov %1, %0; " STORE_ZMM "; vzeroupper"
			 : : "r"(in), "r"(out) : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm15");
	EQ(memcmp(in, out, 388), 0);
}

// A handler that overwrites every register it can.
static volatile int clobber_avx, clobber_avx512;
static void clobber(int s)
{
	unsigned char junk[512];
	memset(junk, 0xee, sizeof junk);
	if (clobber_avx512)
		SSE(LOAD_ZMM, junk);
	else if (clobber_avx)
		SSE(LOAD_YMM, junk);
	else
		SSE(LOAD_XMM, junk);
	unsigned mx = 0x1fc0;
	unsigned short cw = 0x0040;
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(mx), "m"(cw));
	on_tick(s);
}

// Spins in user code until some signals have come, with registers loaded all the while.
#define SPIN "; mov $200000, %%rcx; 1: dec %%rcx; jnz 1b; "

static void clobber_ticks(void)
{
	set_handler(SIGALRM, clobber, 0);
	struct itimerval it = {{0, 3000}, {0, 3000}};
	OK(setitimer(ITIMER_REAL, &it, NULL));
}

CASE(sse_over_signals)
{
	fill();
	clobber_ticks();
	while (ticks < 10) {
		__asm__ volatile(LOAD_XMM SPIN "mov %1, %0; " STORE_XMM
				 : : "r"(in), "r"(out) : "rcx", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
		EQ(memcmp(in, out, 96), 0);
	}
}

CASE(avx_over_signals)
{
	if (!have_avx())
		SKIP("no AVX");
	clobber_avx = 1;
	fill();
	clobber_ticks();
	while (ticks < 10) {
		__asm__ volatile(LOAD_YMM SPIN "mov %1, %0; " STORE_YMM "; vzeroupper"
				 : : "r"(in), "r"(out) : "rcx", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
		EQ(memcmp(in, out, 192), 0);
	}
}

CASE(avx512_over_signals)
{
	if (!have_avx512())
		SKIP("no AVX-512");
	clobber_avx512 = 1;
	fill();
	clobber_ticks();
	while (ticks < 10) {
		__asm__ volatile(LOAD_ZMM SPIN "mov %1, %0; " STORE_ZMM "; vzeroupper"
				 : : "r"(in), "r"(out) : "rcx", "memory", "xmm0", "xmm1", "xmm15");
		EQ(memcmp(in, out, 388), 0);
	}
}

CASE(signal_during_system_call_keeps_registers)
{
	fill();
	clobber_avx = have_avx();
	set_handler(SIGUSR1, clobber, 0);
	// tgkill to itself: the handler runs on the way out of the call
	__asm__ volatile("mov %%rdx, %%r8;" // keep the output pointer
			 LOAD_XMM "; mov %2, %%edi; mov %2, %%esi; mov $10, %%edx; mov $234, %%eax; syscall; mov %%r8, %0; " STORE_XMM
			 : : "r"(in), "d"(out), "b"(getpid())
			 : "rax", "rcx", "rsi", "rdi", "r8", "r11", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
	EQ(ticks, 1);
	EQ(memcmp(in, out, 96), 0);
}

CASE(mxcsr_and_x87_control_word)
{
	unsigned mx = 0x3f80, got = 0;
	unsigned short cw = 0x0b7f, gw = 0;
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(mx), "m"(cw));
	clobber_ticks();
	while (ticks < 3) {
		getppid();
		__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(got), "=m"(gw));
		EQ(got & 0xffc0, 0x3f80);
		EQ(gw, 0x0b7f);
	}
	stop_ticks();
	CHILD(k) {
		__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(got), "=m"(gw));
		EQ(got & 0xffc0, 0x3f80); // fork copies them
		EQ(gw, 0x0b7f);
	}
	REAP(k);
}

static unsigned handler_mx;
static unsigned short handler_cw;
static void look(int s)
{
	__asm__ volatile("stmxcsr %0; fnstcw %1" : "=m"(handler_mx), "=m"(handler_cw));
	on_tick(s);
}

CASE(handler_starts_with_default_control_words)
{
	unsigned mx = 0x3f80;
	unsigned short cw = 0x0b7f;
	set_handler(SIGUSR1, look, 0);
	__asm__ volatile("ldmxcsr %0; fldcw %1" : : "m"(mx), "m"(cw));
	OK(raise(SIGUSR1));
	EQ(handler_mx & 0xffc0, 0x1f80);
	EQ(handler_cw, 0x037f);
}

CASE(fork_copies_vector_registers)
{
	fill();
	long pid;
	__asm__ volatile(LOAD_XMM "; mov $57, %%eax; syscall; mov %%rax, %1; mov %2, %0; " STORE_XMM
			 : : "r"(in), "m"(pid), "r"(out) : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
	int same = memcmp(in, out, 96) == 0;
	if (*(volatile long *)&pid == 0)
		syscall(SYS_exit_group, same ? 0 : 1);
	CHECK(same);
	REAP((pid_t)*(volatile long *)&pid);
}

static void edit_frame(int s, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;
	(void)si;
	struct _libc_fpstate *f = u->uc_mcontext.fpregs;
	CHECK(f != NULL);
	CHECK((uintptr_t)f % 64 == 0);
	EQ(f->_xmm[0].element[0], 0x11111111);
	f->_xmm[0].element[0] = 0x22222222; // restored by sigreturn
	on_tick(s);
}

CASE(signal_frame_vector_state_can_be_edited)
{
	struct sigaction sa = {.sa_sigaction = edit_frame, .sa_flags = SA_SIGINFO};
	unsigned v[4] = {0x11111111, 2, 3, 4};
	OK(sigaction(SIGTRAP, &sa, NULL));
	__asm__ volatile("movups %0, %%xmm0; int3; movups %%xmm0, %0" : "+m"(v) : : "xmm0");
	EQ(v[0], 0x22222222);
	EQ(v[1], 2);
}

static void check_magic(int s, siginfo_t *si, void *uc)
{
	ucontext_t *u = uc;
	(void)si;
	// the software-reserved bytes of the legacy area describe the extended frame
	unsigned *sw = (unsigned *)((char *)u->uc_mcontext.fpregs + 464);
	if (have_avx()) {
		EQ(sw[0], 0x46505853); // FP_XSTATE_MAGIC1
		unsigned size = sw[4];
		CHECK(size >= 832);
		EQ(*(unsigned *)((char *)u->uc_mcontext.fpregs + size), 0x46505845); // FP_XSTATE_MAGIC2
	}
	on_tick(s);
}

CASE(signal_frame_names_extended_state)
{
	struct sigaction sa = {.sa_sigaction = check_magic, .sa_flags = SA_SIGINFO};
	OK(sigaction(SIGUSR1, &sa, NULL));
	OK(raise(SIGUSR1));
	EQ(ticks, 1);
}

static void *vector_thread(void *arg)
{
	unsigned char mine[96], got[96];
	memset(mine, (int)(long)arg, sizeof mine);
	for (int i = 0; i < 300; i++) {
		__asm__ volatile(LOAD_XMM "; mov $24, %%eax; syscall; mov %1, %0; " STORE_XMM
				 : : "r"(mine), "r"(got) : "rax", "rcx", "r11", "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
		if (memcmp(mine, got, 96))
			return (void *)1;
	}
	return NULL;
}

CASE(threads_do_not_mix_vector_registers)
{
	pthread_t t[6];
	void *r;
	for (long i = 0; i < 6; i++)
		EQ(pthread_create(&t[i], NULL, vector_thread, (void *)(i + 1)), 0);
	for (int i = 0; i < 6; i++) {
		EQ(pthread_join(t[i], &r), 0);
		CHECK(r == NULL);
	}
}

CASE(vector_registers_over_page_faults)
{
	fill();
	char *m = OK(mmap(NULL, 4096 * 50, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	for (int i = 0; i < 50; i++) {
		memset(out, 0, sizeof out);
		__asm__ volatile(LOAD_XMM "; movb $1, (%2); mov %1, %0; " STORE_XMM
				 : : "r"(in), "r"(out), "r"(m + i * 4096)
				 : "memory", "xmm0", "xmm1", "xmm7", "xmm8", "xmm14", "xmm15");
		EQ(memcmp(in, out, 96), 0);
	}
}

CASE(direction_flag_clear_in_handler)
{
	// the psABI wants it clear at every function's entry
	struct sigaction sa = {.sa_handler = on_tick};
	OK(sigaction(SIGTRAP, &sa, NULL));
	unsigned long fl;
	__asm__ volatile("std; int3; pushfq; cld; popq %0" : "=r"(fl) : : "memory", "cc");
	EQ(ticks, 1);
	EQ(fl >> 10 & 1, 1); // and set again after it
}

CASE(fsgsbase_instructions_match_hwcap)
{
	unsigned long a = 1;
	unsigned x, b, c, d;
	if (!__get_cpuid_count(7, 0, &x, &b, &c, &d) || !(b & 1))
		SKIP("no FSGSBASE");
	unsigned long v, w;
	OK(syscall(SYS_arch_prctl, 0x1003, &v)); // ARCH_GET_FS
	__asm__ volatile("rdfsbase %0" : "=r"(w));
	EQ(v, w);
	__asm__ volatile("wrgsbase %0" : : "r"(&a));
	getppid();
	__asm__ volatile("rdgsbase %0" : "=r"(w));
	EQ(w, (unsigned long)&a);
	OK(syscall(SYS_arch_prctl, 0x1004, &v)); // ARCH_GET_GS
	EQ(v, (unsigned long)&a);
}

CASE(cpuid_is_sane)
{
	unsigned a, b, c, d;
	CHECK(__get_cpuid(1, &a, &b, &c, &d));
	CHECK(d & 1 << 26); // SSE2
	CHECK(d & 1 << 4);  // TSC
	CHECK(c & 1 << 26 ? c & 1 << 27 : 1); // XSAVE implies OSXSAVE under Linux
	if (c & 1 << 27) {
		unsigned lo, hi;
		__asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
		EQ(lo & 3, 3);
	}
}
