#include "textflag.h"

#define SYS_mmap 9
#define SYS_pause 34
#define SYS_clone 56
#define SYS_exit 60
#define SYS_prctl 157

// func cloneTemplate(flags, page, fd, entry uintptr) (pid uintptr)
//
// The child makes itself traceable, maps the stub page and jumps into it. It has
// a copy of the sentry's memory, and touches only registers.
TEXT ·cloneTemplate(SB), NOSPLIT, $0-40
	MOVQ	page+8(FP), R12
	MOVQ	fd+16(FP), R13
	MOVQ	entry+24(FP), R14
	MOVQ	flags+0(FP), DI
	XORL	SI, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$SYS_clone, AX
	SYSCALL
	TESTQ	AX, AX
	JZ	child
	MOVQ	AX, pid+32(FP)
	RET

child:
	MOVL	$4, DI	// PR_SET_DUMPABLE
	MOVL	$1, SI
	XORL	DX, DX
	XORL	R10, R10
	XORL	R8, R8
	MOVL	$SYS_prctl, AX
	SYSCALL
	MOVQ	R12, DI
	MOVL	$4096, SI
	MOVL	$5, DX		// PROT_READ|PROT_EXEC
	MOVL	$0x11, R10	// MAP_SHARED|MAP_FIXED
	MOVQ	R13, R8
	XORL	R9, R9
	MOVL	$SYS_mmap, AX
	SYSCALL
	CMPQ	AX, R12
	JNE	fail
	JMP	R14
fail:
	MOVL	$1, DI
	MOVL	$SYS_exit, AX
	SYSCALL
	JMP	fail
