package ptrace

import (
	"errors"
	"fmt"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// traceOptions are the options of all tracees. EXITKILL ties them to the sentry.
const traceOptions = unix.PTRACE_O_EXITKILL | unix.PTRACE_O_TRACESYSGOOD

// errDying is ptrace's answer for a thread that has been killed; it can only be
// reaped. errReaped says that this has been done.
var (
	errDying  error = unix.ESRCH
	errReaped       = errors.New("stub thread has died")
)

// Codes of ends that waitid(2) tells (asm-generic/siginfo.h).
const (
	cldExited = 1
	cldKilled = 2
	cldDumped = 3
)

// isDead says whether err tells of a tracee's death.
func isDead(err error) bool { return err == errDying || err == errReaped }

// Selectors of user code and data on Linux.
const (
	userCS = 0x33
	userSS = 0x2b
)

// Bits of EFLAGS that would disturb the stub's code.
const (
	flagTF = 1 << 8
	flagDF = 1 << 10
	flagAC = 1 << 18
)

// wait waits for the next stop of tid, or its end: errReaped.
func wait(tid int) (unix.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		_, err := unix.Wait4(tid, &ws, unix.WALL, nil)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, errReaped
		case ws.Exited() || ws.Signaled():
			return ws, errReaped
		default:
			return ws, nil
		}
	}
}

// stopEvent is the PTRACE_EVENT of a stop, 0 if it has none. (WaitStatus.TrapCause
// knows only those of SIGTRAP.)
func stopEvent(ws unix.WaitStatus) int { return int(ws >> 16) }

// stop brings a seized, running tracee to a stop that no signal has caused.
func stop(tid int) error {
	if err := request(unix.PTRACE_INTERRUPT, tid, 0, 0); err != nil {
		return err
	}
	for {
		ws, err := wait(tid)
		if err != nil {
			return err
		}
		if stopEvent(ws) == unix.PTRACE_EVENT_STOP {
			return nil
		}
		if err := resume(unix.PTRACE_CONT, tid); err != nil {
			return err
		}
	}
}

// inject makes the stopped tracee execute a system call of its own at entry and
// leaves it stopped at end. base gives the registers that do not matter; the
// tracee's registers are not restored. Signals that arrive meanwhile are dropped.
func inject(tid int, base *arch.Registers, entry, end uint64, nr uintptr, args ...uint64) (uint64, error) {
	var a [6]uint64
	copy(a[:], args)
	r := *base
	r.Rip, r.Cs, r.Ss = entry, userCS, userSS
	r.Eflags &^= flagTF | flagDF | flagAC
	r.Orig_rax = ^uint64(0)
	r.Rax = uint64(nr)
	r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = a[0], a[1], a[2], a[3], a[4], a[5]
	if err := setRegs(tid, &r); err != nil {
		return 0, err
	}
	for {
		if err := resume(unix.PTRACE_CONT, tid); err != nil {
			return 0, err
		}
		ws, err := wait(tid)
		if err != nil {
			return 0, err
		}
		if ws.StopSignal() != unix.SIGTRAP || stopEvent(ws) != 0 {
			if info, err := getSigInfo(tid); err == nil && info.signo == int32(unix.SIGSEGV) && info.code > 0 {
				if err := getRegs(tid, &r); err != nil {
					return 0, err
				}
				return 0, fmt.Errorf("stub faults at address %#x, instruction %#x", info.addr, r.Rip)
			}
			continue
		}
		if err := getRegs(tid, &r); err != nil {
			return 0, err
		}
		if r.Rip == end {
			break
		}
	}
	if int64(r.Rax) < 0 && int64(r.Rax) > -4096 {
		return 0, unix.Errno(-int64(r.Rax))
	}
	return r.Rax, nil
}

// call is inject at the stub's ordinary system call.
func call(tid int, base *arch.Registers, nr uintptr, args ...uint64) (uint64, error) {
	return inject(tid, base, stubCall, stubCallEnd, nr, args...)
}

// end makes the stopped tracee exit, and reaps it.
func end(tid int, base *arch.Registers) {
	// The call does not return; an error means that the thread is dead anyway.
	if _, err := call(tid, base, unix.SYS_EXIT, 0); err == errDying {
		reap(tid)
	}
}

// reap waits until tid is gone. Any thread of the sentry may do it.
func reap(tid int) {
	for {
		if _, err := wait(tid); err != nil {
			return
		}
	}
}

// hasDied reports whether tid has died and has not been reaped. Its stops remain to be waited for.
func hasDied(tid int) bool {
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, tid, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT|unix.WALL, nil); err != nil {
		return false
	}
	return info.Code == cldExited || info.Code == cldKilled || info.Code == cldDumped
}
