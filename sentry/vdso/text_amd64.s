#include "textflag.h"

// The functions of the image. They are copied, so they refer to nothing outside
// of themselves but the page of parameters, by their first instruction, whose
// displacement the image's builder fills in. They use neither the stack nor any
// register that a C function must preserve. END marks where each one ends.
//
// Layout of the page (params.go):
//
//	0x00 sequence number: odd while the page is being written
//	0x08 time stamp counter at the base time
//	0x10 how far the counter may be from that, in cycles
//	0x18 nanoseconds per cycle, shifted by 48, of most clocks
//	0x20 the same of CLOCK_MONOTONIC_RAW
//	0x28 number of CPUs
//	0x40 12 clocks of 32 bytes: rate (0: none, 1: that at 0x18, 2: at 0x20),
//	     seconds and nanoseconds at the base time, resolution

#define PARAMS BYTE $0x4c; BYTE $0x8d; BYTE $0x05; LONG $0	// lea params(%rip),%r8
#define END LONG $0x0b0f0b0f; LONG $0x444e4501; LONG $0x0b0f0b0f

// READ leaves the time of the clock at R10 in CX (seconds) and AX (nanoseconds,
// may be more than a second), or goes to slow.
#define READ \
	MOVL	(R8), R9; \
	TESTL	$1, R9; \
	JNE	slow; \
	MOVQ	(R10), R11; \
	TESTQ	R11, R11; \
	JEQ	slow; \
	LFENCE; \
	RDTSC; \
	SHLQ	$32, DX; \
	ORQ	DX, AX; \
	SUBQ	0x08(R8), AX; \
	JCC	ahead; \
	NEGQ	AX; \
	CMPQ	AX, 0x10(R8); \
	JHI	slow; \
	XORL	AX, AX; \
ahead: \
	CMPQ	AX, 0x10(R8); \
	JHI	slow; \
	MULQ	0x10(R8)(R11*8); \
	SHRQ	$48, DX, AX; \
	MOVQ	0x08(R10), CX; \
	ADDQ	0x10(R10), AX; \
	CMPL	R9, (R8); \
	JNE	again; \
carry: \
	CMPQ	AX, $1000000000; \
	JCS	done; \
	SUBQ	$1000000000, AX; \
	INCQ	CX; \
	JMP	carry; \
done:

// int clock_gettime(clockid_t clock, struct timespec *t)
TEXT ·clockGettime(SB), NOSPLIT|NOFRAME, $0-0
	PARAMS
	CMPL	DI, $11
	JHI	slow
	MOVL	DI, R10
	SHLQ	$5, R10
	LEAQ	0x40(R8)(R10*1), R10
again:
	READ
	MOVQ	CX, (SI)
	MOVQ	AX, 8(SI)
	XORL	AX, AX
	RET
slow:
	MOVL	$228, AX	// SYS_clock_gettime
	SYSCALL
	RET
	END

// int gettimeofday(struct timeval *t, struct timezone *z)
TEXT ·gettimeofday(SB), NOSPLIT|NOFRAME, $0-0
	PARAMS
	TESTQ	DI, DI
	JEQ	slow
	TESTQ	SI, SI
	JNE	slow
	LEAQ	0x40(R8), R10	// CLOCK_REALTIME
again:
	READ
	MOVQ	CX, (DI)
	IMULQ	$274877907, AX	// 2^38 / 1000, rounded up: exact below 10^9
	SHRQ	$38, AX
	MOVQ	AX, 8(DI)
	XORL	AX, AX
	RET
slow:
	MOVL	$96, AX	// SYS_gettimeofday
	SYSCALL
	RET
	END

// time_t time(time_t *t)
TEXT ·timeSeconds(SB), NOSPLIT|NOFRAME, $0-0
	PARAMS
	LEAQ	0x40(R8), R10	// CLOCK_REALTIME
again:
	READ
	MOVQ	CX, AX
	TESTQ	DI, DI
	JEQ	return
	MOVQ	AX, (DI)
return:
	RET
slow:
	MOVL	$201, AX	// SYS_time
	SYSCALL
	RET
	END

// int clock_getres(clockid_t clock, struct timespec *t)
TEXT ·clockGetres(SB), NOSPLIT|NOFRAME, $0-0
	PARAMS
	CMPL	DI, $11
	JHI	slow
	MOVL	DI, R10
	SHLQ	$5, R10
	MOVQ	0x58(R8)(R10*1), AX
	TESTQ	AX, AX
	JEQ	slow
	TESTQ	SI, SI
	JEQ	return
	MOVQ	$0, (SI)
	MOVQ	AX, 8(SI)
return:
	XORL	AX, AX
	RET
slow:
	MOVL	$229, AX	// SYS_clock_getres
	SYSCALL
	RET
	END

// int getcpu(unsigned *cpu, unsigned *node, void *unused)
//
// Linux keeps the number of the CPU and of its node in the limit of a segment,
// 12 bits for the former. Where there is no such segment LSL clears ZF.
TEXT ·getcpu(SB), NOSPLIT|NOFRAME, $0-0
	PARAMS
	MOVL	$0x7b, AX
	BYTE	$0x0f; BYTE $0x03; BYTE $0xc0	// lsl %eax,%eax
	JNE	slow
	ANDL	$0xfff, AX
	MOVL	0x28(R8), CX
	CMPL	AX, CX
	JCC	slow
	TESTQ	DI, DI
	JEQ	node
	MOVL	AX, (DI)
node:
	TESTQ	SI, SI
	JEQ	return
	MOVL	$0, (SI)
return:
	XORL	AX, AX
	RET
slow:
	MOVL	$309, AX	// SYS_getcpu
	SYSCALL
	RET
	END

// func addresses(out *[5]uintptr)
TEXT ·addresses(SB), NOSPLIT, $0-8
	MOVQ	out+0(FP), DI
	LEAQ	·clockGettime(SB), AX
	MOVQ	AX, 0(DI)
	LEAQ	·gettimeofday(SB), AX
	MOVQ	AX, 8(DI)
	LEAQ	·timeSeconds(SB), AX
	MOVQ	AX, 16(DI)
	LEAQ	·clockGetres(SB), AX
	MOVQ	AX, 24(DI)
	LEAQ	·getcpu(SB), AX
	MOVQ	AX, 32(DI)
	RET

// func rdtsc() uint64
TEXT ·rdtsc(SB), NOSPLIT, $0-8
	LFENCE
	RDTSC
	SHLQ	$32, DX
	ORQ	DX, AX
	MOVQ	AX, ret+0(FP)
	RET
