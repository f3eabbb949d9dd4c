#include "textflag.h"

// The stub: the code that every stub process has at stubText, and the only code
// outside the application's in it. It is position-independent, and copied into a
// file of its own, so that nothing else of the sentry is in that page. The
// blocks' offsets are known to layout_amd64.go.
//
// After each system call instruction the code relies on nothing but registers
// whose values the sentry has seen in the notification, and on memory of the
// area only for the arguments of calls, which the sentry compares one by one:
// application code may jump anywhere in here, and other threads of the
// application may write to the area at any time.
//
// The area of a thread: see layout_amd64.go. Registers within the stub:
//   BX   the thread's area
//   R13  the command being carried out
//   R12  calls that are left of it
//   R14  the next call

#define AREA_MASK $~0x1ffff
#define CHUNK_MASK $~0x7fffff
#define CHUNK_SIZE $0x800000
#define AREA_FSBASE 0
#define AREA_GSBASE 8
#define AREA_CALLS 320
#define CALL_SIZE $64
#define AREA_REQUEST 64
#define AREA_NR 68
#define AREA_IP 72
#define AREA_ARGS 80
#define AREA_SP 128
#define AREA_FLAGS 136
#define AREA_RETURN 144
#define AREA_POLL 192
#define AREA_SPIN 196
#define AREA_LENT 200
#define AREA_DIRTY 256

// Slots of loans (package loan).
#define AREA_SLOTS 0x1000
#define SLOT_MASK $63
#define SLOT_SHIFT $6
#define SLOT_FD 0
#define SLOT_SIZE 4
#define SLOT_TAKEN 8
#define SLOT_DATA 12
#define SLOT_WRITTEN 16
#define SLOT_ROOM 20
#define SLOT_TRAY 24
#define SLOT_EPOLL 28
#define SLOT_INTEREST 32
#define SLOT_EVENTS 36
#define SLOT_DATA64 48
#define INTERESTED $1
#define CHANGED $2
#define INTEREST_CALL 4
#define INTEREST_TURN $2 // the bit that chooses one of two events and data
#define EXOTIC $0x30000000

#define REQUEST_NONE $0
#define REQUEST_POSTED $1
#define REQUEST_TAKEN $2
#define REQUEST_WITHDRAWN $3
#define REQUEST_ASLEEP $4

#define NR_HANDOFF $0x100000
#define KIND_DONE $0x100
#define KIND_FAILED $0x101

#define CMD_RESUME $0
#define CMD_CALLS $1
#define CMD_CLONE $2
#define CMD_RIDE $0x100

// RELOAD gives back the registers that a call of a patched site keeps, and CX the address to
// return to.
#define RELOAD \
	MOVQ AREA_RETURN(GS), CX; \
	MOVQ AREA_ARGS(GS), DI; \
	MOVQ (AREA_ARGS+8)(GS), SI; \
	MOVQ (AREA_ARGS+16)(GS), DX; \
	MOVQ (AREA_ARGS+24)(GS), R10

// func stub()
TEXT ·stub(SB), NOSPLIT|NOFRAME, $0-0
	// Offset 0x000: every signal's handler, on the alternate stack.
	// DI signal, SI siginfo, DX ucontext.
	MOVQ SP, R10
	ANDQ AREA_MASK, R10
	RDFSBASEQ AX
	MOVQ AX, AREA_FSBASE(R10)
	RDGSBASEQ AX
	MOVQ AX, AREA_GSBASE(R10)
	XORL SI, SI
	MOVL NR_HANDOFF, AX
	JMP handoff

	// Offset 0x100: over to the sentry. R10 area, DI kind or signal, SI result,
	// DX ucontext. The answer is a command.
	PCALIGN $256
handoff:
	SYSCALL
	MOVQ R10, BX
	MOVQ BX, SP // off the alternate stack, so that that can be changed
	MOVQ AX, R13
	TESTQ AX, AX
	JLT die
	MOVQ AX, R12
	SHRQ $16, R12
	ANDQ $0xffff, R12
	LEAQ AREA_CALLS(BX), R14
	ANDL $0xff, AX
	CMPL AX, CMD_CALLS
	JEQ load
	CMPL AX, CMD_CLONE
	JEQ loadclone
	CMPL AX, CMD_RESUME
	JNE die

resume:
	MOVQ AREA_FSBASE(BX), AX
	WRFSBASEQ AX
	MOVQ AREA_GSBASE(BX), AX
	WRGSBASEQ AX
	SHRQ $32, R13
	LEAQ (BX)(R13*1), SP
	MOVL $15, AX
	JMP sigreturn

die:
	UD2

	// Offset 0x200: back into the application. SP ucontext.
	PCALIGN $256
sigreturn:
	SYSCALL
	UD2

	// Offset 0x280: carries out calls. The template enters here.
	PCALIGN $128
load:
	MOVQ 0(R14), AX
	MOVQ 8(R14), DI
	MOVQ 16(R14), SI
	MOVQ 24(R14), DX
	MOVQ 32(R14), R10
	MOVQ 40(R14), R8
	MOVQ 48(R14), R9
	JMP call

	// Offset 0x300: a call that the sentry has commanded.
	PCALIGN $256
call:
	SYSCALL
	MOVQ AX, 56(R14)
	CMPQ AX, $-4095
	JCC failed
	ADDQ CALL_SIZE, R14
	DECQ R12
	JNZ load
	TESTL CMD_RIDE, R13
	JNZ resume
done:
	MOVL KIND_DONE, DI
report:
	MOVQ AX, SI
	MOVQ BX, R10
	XORL DX, DX
	MOVL NR_HANDOFF, AX
	JMP handoff
failed:
	MOVL KIND_FAILED, DI
	JMP report

loadclone:
	MOVQ 8(R14), DI
	MOVQ 16(R14), SI
	MOVQ 24(R14), DX
	MOVQ 32(R14), R10
	MOVQ 40(R14), R8
	MOVQ 48(R14), R9
	MOVL $56, AX
	JMP clone

	// Offset 0x400: clone. The child depends on nothing but its registers:
	// DI flags, SI stack (the area of a new thread), R8 and R9 as below.
	PCALIGN $256
clone:
	SYSCALL
	TESTQ AX, AX
	JNZ done
	TESTL $0x100, DI // CLONE_VM
	JNZ thread
	// A new process. DX is the sentry's process ID, if the stub is to see to it
	// that it dies with the sentry.
	TESTQ DX, DX
	JNZ orphan
parented:
	// BX is an area of the parent's, which it shares: put a new piece of the area
	// file in its place before anything else. R8 area file, R9 offset.
	MOVQ BX, DI
	ANDQ CHUNK_MASK, DI
	MOVL CHUNK_SIZE, SI
	MOVL $3, DX     // PROT_READ|PROT_WRITE
	MOVL $0x11, R10 // MAP_SHARED|MAP_FIXED
	MOVL $9, AX
	JMP newprocess
thread:
	// R9 stack_t, R8 the sentry's mark, which is only to be seen.
	MOVQ SP, BX
	MOVQ R9, DI
	XORL SI, SI
	MOVL $131, AX
	JMP newthread

	// Offset 0x500: the first call of a new process.
	PCALIGN $256
newprocess:
	SYSCALL
	CMPQ AX, $-4095
	JCC die
	XORL AX, AX
	JMP done

	// Offset 0x600: the first call of a new thread.
	PCALIGN $256
newthread:
	SYSCALL
	CMPQ AX, $-4095
	JCC die
	XORL AX, AX
	JMP done

	// Offset 0x640: prctl(PR_SET_PDEATHSIG, SIGKILL), and getppid, to see that it
	// did not come too late. The filter allows just these, just here.
	PCALIGN $64
orphan:
	MOVL $157, AX
	MOVL $1, DI
	MOVL $9, SI
	SYSCALL
	MOVL $110, AX
	SYSCALL
	CMPQ AX, DX
	JNE die
	JMP parented

	// Offset 0x700: a system call of a patched site. CX is the address after its
	// SYSCALL, R11 is free, GS is the area; all else is the application's and
	// stays as it is, flags and stack included. fast_unsafe.go knows what is to be
	// done when a signal comes in the midst of this, from the offsets.
	PCALIGN $256
	MOVQ SP, AREA_SP(GS)
	RDGSBASEQ SP
	LEAQ (AREA_FLAGS+8)(SP), SP

	// Offset 0x720: the stack is the area's.
	PCALIGN $32
	BYTE $0x9c // PUSHFQ
	CMPL AREA_LENT(GS), $0
	JNE lent
unlent:
	CMPL AREA_POLL(GS), $0
	JEQ slow
	MOVL AX, AREA_NR(GS)
	MOVQ CX, AREA_IP(GS)
	MOVQ CX, AREA_RETURN(GS)
	MOVQ DI, AREA_ARGS(GS)
	MOVQ SI, (AREA_ARGS+8)(GS)
	MOVQ DX, (AREA_ARGS+16)(GS)
	MOVQ R10, (AREA_ARGS+24)(GS)
	MOVQ R8, (AREA_ARGS+32)(GS)
	MOVQ R9, (AREA_ARGS+40)(GS)
	JMP post

	// Offset 0x7a0: the call is posted.
	PCALIGN $32
post:
	MOVL REQUEST_POSTED, AREA_REQUEST(GS)
spin:
	MOVL AREA_SPIN(GS), R11
again:
	MOVL AREA_REQUEST(GS), AX
	TESTL AX, AX
	JEQ answered
	CMPL AX, REQUEST_ASLEEP
	JEQ sleep
	PAUSE
	DECL R11
	JNZ again
	// Nobody has answered for long. If nobody has even seen it, take it back.
	MOVL REQUEST_POSTED, AX
	MOVL REQUEST_WITHDRAWN, R11
	LOCK
	CMPXCHGL R11, AREA_REQUEST(GS)
	JEQ withdrawn
	MOVL REQUEST_TAKEN, AX
	MOVL REQUEST_ASLEEP, R11
	LOCK
	CMPXCHGL R11, AREA_REQUEST(GS)
	JMP spin
withdrawn:
	MOVL $0, AREA_POLL(GS)
	MOVL AREA_NR(GS), AX
	JMP slow
sleep:
	RDGSBASEQ DI
	LEAQ AREA_REQUEST(DI), DI
	XORL SI, SI // FUTEX_WAIT
	MOVL REQUEST_ASLEEP, DX
	XORL R10, R10 // no timeout
	MOVL $202, AX
	JMP fastsleep

	// Offset 0x840: wait until the answer has come.
	PCALIGN $32
fastsleep:
	SYSCALL
	JMP spin

answered:
	MOVQ AREA_IP(GS), AX
	RELOAD
	JMP return

	// Offset 0x880: back, the result in AX.
	PCALIGN $32
return:
	BYTE $0x9d // POPFQ
	MOVQ AREA_SP(GS), SP
	JMP CX

	// Offset 0x8a0: back to the site's own SYSCALL.
	PCALIGN $32
slow:
	BYTE $0x9d // POPFQ
	MOVQ AREA_SP(GS), SP
	LEAQ -2(CX), R11
	JMP R11

	// Offset 0x8c0: can the call be made by a loan?
	PCALIGN $32
lent:
	MOVL AX, AREA_NR(GS)
	MOVQ CX, AREA_RETURN(GS)
	MOVQ DI, AREA_ARGS(GS)
	MOVQ SI, (AREA_ARGS+8)(GS)
	MOVQ DX, (AREA_ARGS+16)(GS)
	MOVQ R10, (AREA_ARGS+24)(GS)
	JMP lookup

	// Offset 0x900: the registers that are used are in the area. R11 is the slot, CX
	// the area.
	PCALIGN $64
lookup:
	CMPL AX, $233
	JEQ control
	MOVL DI, R11
	ANDL SLOT_MASK, R11
	SHLL SLOT_SHIFT, R11
	RDGSBASEQ CX
	LEAQ AREA_SLOTS(CX)(R11*1), R11
	INCL DI
	CMPL DI, SLOT_FD(R11)
	JNE notlent
	TESTQ DX, DX
	JEQ notlent
	CMPL AX, $1
	JCS read
	JEQ write
	CMPL AX, $44
	JEQ send
	CMPL AX, $45
	JNE notlent
	// recvfrom(2) with no flag but MSG_DONTWAIT, and no address.
	ANDL $~0x40, R10
	JNE notlent
	TESTQ R8, R8
	JNE notlent
read:
	MOVL SLOT_TAKEN(R11), AX
	TESTL AX, AX
	JLT notlent
	MOVL SLOT_SIZE(R11), R10
	SUBL AX, R10
	JLS notlent
	CMPQ DX, R10
	JCC all
	MOVQ DX, R10
all:
	MOVQ SI, DI
	MOVL SLOT_DATA(R11), SI
	ADDQ CX, SI
	ADDQ AX, SI
	MOVQ R10, CX
	CLD
	REP; MOVSB
	LEAQ SLOT_TAKEN(R11), DI
	JMP sum
send:
	// sendto(2) with no flags but MSG_DONTWAIT and MSG_NOSIGNAL, and no address.
	ANDL $~0x4040, R10
	JNE notlent
	TESTQ R8, R8
	JNE notlent
write:
	MOVL SLOT_WRITTEN(R11), AX
	TESTL AX, AX
	JLT notlent
	MOVL SLOT_ROOM(R11), R10
	SUBL AX, R10
	JCS notlent
	CMPQ DX, R10
	JHI notlent
	MOVQ DX, R10
	MOVL SLOT_TRAY(R11), DI
	ADDQ CX, DI
	ADDQ AX, DI
	MOVQ R10, CX
	CLD
	REP; MOVSB
	LEAQ SLOT_WRITTEN(R11), DI
sum:
	MOVQ R10, AREA_IP(GS)
	LEAL (AX)(R10*1), DX
	JMP publish
control:
	// epoll_ctl(2) of a descriptor that is lent. The interest is there, or is not, as the
	// operation wants it.
	MOVL DX, R11
	ANDL SLOT_MASK, R11
	SHLL SLOT_SHIFT, R11
	RDGSBASEQ CX
	LEAQ AREA_SLOTS(CX)(R11*1), R11
	INCL DX
	CMPL DX, SLOT_FD(R11)
	JNE notlent
	INCL DI
	CMPL DI, SLOT_EPOLL(R11)
	JNE notlent
	MOVL SLOT_INTEREST(R11), AX
	TESTL AX, AX
	JLT notlent
	LEAL INTEREST_CALL(AX), DX
	ANDL $0x7fffffff, DX
	CMPL SI, $1 // EPOLL_CTL_ADD
	JEQ add
	TESTL INTERESTED, AX
	JEQ notlent
	CMPL SI, $3 // EPOLL_CTL_MOD
	JEQ watch
	CMPL SI, $2 // EPOLL_CTL_DEL
	JNE notlent
	ANDL $~1, DX
	JMP ask
add:
	TESTL INTERESTED, AX
	JNE notlent
watch:
	MOVL 0(R10), DI
	TESTL EXOTIC, DI
	JNE notlent
	MOVQ 4(R10), SI
	MOVL DX, CX
	SHRL INTEREST_TURN, CX
	ANDL $1, CX
	MOVL DI, SLOT_EVENTS(R11)(CX*4)
	MOVQ SI, SLOT_DATA64(R11)(CX*8)
	ORL INTERESTED, DX
ask:
	ORL CHANGED, DX
	LEAQ SLOT_INTEREST(R11), DI
	MOVQ $0, AREA_IP(GS)
	JMP publish
notlent:
	MOVL AREA_NR(GS), AX
	RELOAD
	JMP unlent

	// Offset 0xae0: the loan is changed: the word at DI from AX to DX.
	PCALIGN $32
publish:
	LOCK
	CMPXCHGL DX, (DI)

	// Offset 0xae4.
	JNE notlent
	RDGSBASEQ AX
	SUBQ AX, R11
	SUBQ $AREA_SLOTS, R11
	MOVQ R11, CX
	SHRQ SLOT_SHIFT, CX
	MOVL $1, AX
	SHLQ CX, AX
	LOCK
	ORQ AX, AREA_DIRTY(GS)
	MOVQ AREA_IP(GS), AX
	RELOAD
	JMP return

	// Offset 0xb80: the end, and what lies behind it.
	PCALIGN $64
	UD2
	RET

// func stubAddr() unsafe.Pointer
TEXT ·stubAddr(SB), NOSPLIT, $0-8
	LEAQ ·stub(SB), AX
	MOVQ AX, ret+0(FP)
	RET

// func startTemplate(l *launch) (errno uintptr)
//
// The template is cloned by a child that shares the memory, so that it does not
// have the restartable sequences (rseq(2)) that a C library may have registered
// for this thread. Neither runs Go code, nor uses a stack: the template makes the
// calls in l, whose memory it has a copy of, enters the stub, and goes on with the
// calls in its area.
TEXT ·startTemplate(SB), NOSPLIT, $0-16
	MOVQ l+0(FP), BX
	MOVL $56, AX // clone
	MOVQ $0x4500, DI // CLONE_VM|CLONE_VFORK|CLONE_FILES
	XORL SI, SI
	XORL DX, DX
	XORL R10, R10
	XORL R8, R8
	SYSCALL
	TESTQ AX, AX
	JZ middle
	CMPQ AX, $-4095
	JCC error
	MOVQ 32(BX), AX // what the middle one got
	CMPQ AX, $-4095
	JCC error
	MOVQ $0, errno+8(FP)
	RET
error:
	NEGQ AX
	MOVQ AX, errno+8(FP)
	RET
middle:
	MOVL $56, AX
	MOVQ $0x8400, DI // CLONE_FILES|CLONE_PARENT
	SYSCALL
	TESTQ AX, AX
	JZ child
	MOVQ AX, 32(BX)
	MOVL $60, AX // exit
	XORL DI, DI
	SYSCALL
	UD2
child:
	MOVQ 0(BX), R12  // number of calls
	LEAQ 64(BX), R14 // the calls
next:
	MOVQ 0(R14), AX
	MOVQ 8(R14), DI
	MOVQ 16(R14), SI
	MOVQ 24(R14), DX
	MOVQ 32(R14), R10
	MOVQ 40(R14), R8
	MOVQ 48(R14), R9
	SYSCALL
	CMPQ AX, $-4095
	JCC fail
	ADDQ CALL_SIZE, R14
	DECQ R12
	JNZ next
	MOVQ 8(BX), AX  // where to go on in the stub
	MOVQ 24(BX), R13 // its first command
	MOVQ 16(BX), BX // the area
	MOVQ R13, R12
	SHRQ $16, R12
	ANDQ $0xffff, R12
	LEAQ AREA_CALLS(BX), R14
	JMP AX
fail:
	MOVL $231, AX // exit_group
	MOVL $1, DI
	SYSCALL
	UD2
