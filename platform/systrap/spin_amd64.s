#include "textflag.h"

// func rdtsc() uint64
TEXT ·rdtsc(SB), NOSPLIT, $0-8
	RDTSC
	SHLQ $32, DX
	ORQ DX, AX
	MOVQ AX, ret+0(FP)
	RET

// func pause()
TEXT ·pause(SB), NOSPLIT, $0-0
	PAUSE
	RET

// func rdtscp() (tsc uint64, cpu int)
// Linux has node<<12|processor in TSC_AUX.
TEXT ·rdtscp(SB), NOSPLIT, $0-16
	RDTSCP
	SHLQ $32, DX
	ORQ DX, AX
	MOVQ AX, tsc+0(FP)
	ANDQ $0xfff, CX
	MOVQ CX, cpu+8(FP)
	RET
