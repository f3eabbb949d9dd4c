// Ways into the kernel other than SYSCALL in 64-bit code.
#include "hostile.h"

static unsigned char *low; // memory below 4 GiB
static char *canary = "/proc/self/exe";

static void int80(void *arg) {
	long nr = (long)arg, r;
	asm volatile("int $0x80" : "=a"(r) : "a"(nr), "b"(1L), "c"(low + 2048), "d"(28L) : "memory");
	if (nr == 4 && (int)r == 28) gained("int 0x80 wrote");
	if ((int)r >= 0) gained("int 0x80, call %ld: %ld", nr, r);
}

// In 32-bit code: insn is int 0x80, syscall or sysenter.
static void code32(void *arg) {
	uint64_t what = (uint64_t)arg;
	unsigned nr = what >> 8;
	unsigned char *p = low + 512;
	*p++ = 0xb8, memcpy(p, &nr, 4), p += 4;                // mov nr, eax
	*p++ = 0xbb, memset(p, 0, 4), *p = 1, p += 4;          // mov 1, ebx
	unsigned at = (unsigned)(uintptr_t)low + 2048;
	*p++ = 0xb9, memcpy(p, &at, 4), p += 4;                // mov text, ecx
	*p++ = 0xba, memset(p, 0, 4), *p = 28, p += 4;         // mov 28, edx
	unsigned sp = (unsigned)(uintptr_t)low + 3840;
	*p++ = 0xbd, memcpy(p, &sp, 4), p += 4;                // mov stack, ebp
	switch (what & 0xff) {
	case 0: *p++ = 0xcd, *p++ = 0x80; break;
	case 1: *p++ = 0x0f, *p++ = 0x05; break;
	case 2: *p++ = 0x0f, *p++ = 0x34; break;
	}
	*p++ = 0xea; // ljmp 0x33:back
	unsigned back = (unsigned)(uintptr_t)low + 1024;
	memcpy(p, &back, 4), p += 4;
	*p++ = 0x33, *p++ = 0;
	// back: mov eax to where it is kept, exit(3)
	static const unsigned char end[] = {0x89, 0xc7, 0xc1, 0xef, 0x1f, 0x83, 0xc7, 0x08, 0xb8, 0xe7, 0, 0, 0, 0x0f, 0x05};
	memcpy(low + 1024, end, sizeof end); // exit_group(8 + sign)
	asm volatile("mov %0, %%rsp\n\tpush $0x23\n\tpush %1\n\tlretq" : : "r"(low + 3840), "r"((uintptr_t)low + 512) : "memory");
}

static void sysenter64(void *arg) {
	(void)arg;
	asm volatile("mov %0, %%rbp\n\tsysenter" : : "r"(low + 3840), "a"(4L), "b"(1L), "c"(low + 2048), "d"(28L) : "memory");
}

static void x32(void *arg) {
	long nr = (long)arg | 0x40000000;
	long r = syscall(nr, 1, low + 2048, 0, 0, 0, 0);
	if (r >= 0) gained("x32 call %#lx: %ld", nr, r);
	else if (errno != ENOSYS) printf("x32 call %#lx: %s\n", nr, strerror(errno));
}

static void gates(void *arg) {
	uint64_t selector = (uint64_t)arg;
	struct { uint64_t ip; uint16_t cs; } __attribute__((packed)) far = {(uint64_t)low + 1024, selector};
	asm volatile("rex.W lcall *%0" : : "m"(far) : "memory");
	gained("selector %#lx can be called", selector);
}

static void interrupt(void *arg) {
	unsigned char *p = low + 1500;
	p[0] = 0xcd, p[1] = (unsigned char)(uint64_t)arg, p[2] = 0xc3;
	((void (*)(void))p)();
}

static void vsyscall(void *arg) {
	static const uintptr_t at[] = {0xffffffffff600000, 0xffffffffff600400, 0xffffffffff600800};
	long buf[4] = {0};
	long (*f)(void *, void *) = (void *)at[(long)arg];
	f(buf, NULL);
}

static void vsyscall_read(void *arg) {
	(void)arg;
	printf("vsyscall page: %x\n", *(volatile unsigned char *)0xffffffffff600000);
}

static void segments(void *arg) {
	uint16_t sel = (uint16_t)(uintptr_t)arg;
	asm volatile("mov %0, %%ds\n\tmov %0, %%es\n\tmov %0, %%fs\n\tmov %0, %%gs" : : "r"(sel) : "memory");
	for (int i = 0; i < 20; i++) syscall(SYS_getppid);
	syscall(SYS_munmap, syscall(SYS_mmap, 0, 4096, 3, 0x22, -1, 0), 4096);
	syscall(SYS_exit_group, 0);
}

int main(void) {
	low = mmap((void *)0x10000000, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	if (low == MAP_FAILED) fail("mmap");
	memcpy(low + 2048, "GAINED: by 32-bit write(2)\n", 28);
	(void)canary;
	static const int nrs[] = {1, 2, 4, 5, 11, 20, 37, 90, 91, 119, 120, 125, 173, 192, 359, 400, 1000, -1};
	for (size_t i = 0; i < COUNT(nrs); i++) {
		attempt(int80, (void *)(long)nrs[i], 2);
		for (uint64_t insn = 0; insn < 3; insn++) {
			int status = attempt(code32, (void *)((uint64_t)(unsigned)nrs[i] << 8 | insn), 2);
			if (WIFEXITED(status) && WEXITSTATUS(status) != 9)
				gained("32-bit code, way %d, call %d: ends with %d", (int)insn, nrs[i], WEXITSTATUS(status));
		}
	}
	attempt(sysenter64, NULL, 2);
	for (long nr = 0; nr < 560; nr++) {
		if (nr >= 335 && nr < 424) continue;
		attempt(x32, (void *)nr, 2);
	}
	for (uint64_t s = 0; s < 0x100; s++) attempt(gates, (void *)s, 2);
	for (uint64_t v = 0; v < 256; v++) attempt(interrupt, (void *)v, 2);
	for (long i = 0; i < 3; i++) attempt(vsyscall, (void *)i, 2);
	attempt(vsyscall_read, NULL, 2);
	for (uint64_t s = 0; s < 0x80; s++) attempt(segments, (void *)s, 2);
	return survived();
}
