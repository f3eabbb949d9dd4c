//go:build amd64

package systrap

import (
	"sync/atomic"
	"unsafe"

	"casemate/platform"
	"casemate/platform/loan"

	"golang.org/x/sys/unix"
)

func (a area) word32(off int) *uint32 { return (*uint32)(unsafe.Pointer(&a.mem[off])) }

// posted says whether the stub has posted a request.
func (a area) posted() bool {
	return atomic.LoadUint32(a.word32(areaRequest)) == requestPosted
}

// take accepts the request.
func (a area) take() bool {
	return atomic.CompareAndSwapUint32(a.word32(areaRequest), requestPosted, requestTaken)
}

// reply answers the request.
func (a area) reply(result uint64) {
	*a.word(areaIP) = result
	request := a.word32(areaRequest)
	if atomic.SwapUint32(request, requestNone) == requestAsleep {
		unix.RawSyscall(unix.SYS_FUTEX, uintptr(unsafe.Pointer(request)), futexWake, 1)
	}
}

// sleep tells the stub, if it looks for the answer, to leave the processor to others
// meanwhile.
func (a area) sleep() {
	atomic.CompareAndSwapUint32(a.word32(areaRequest), requestTaken, requestAsleep)
}

// readRequest copies the system call that was posted to r.
func (a area) readRequest(s *platform.State) {
	r := &s.Regs
	r.Orig_rax = uint64(*a.word32(areaNr))
	r.Rip = *a.word(areaIP)
	r.Rdi, r.Rsi, r.Rdx = *a.word(areaArgs), *a.word(areaArgs + 8), *a.word(areaArgs + 16)
	r.R10, r.R8, r.R9 = *a.word(areaArgs + 24), *a.word(areaArgs + 32), *a.word(areaArgs + 40)
	r.Rax = errNoSys
	s.Full = false
}

// setPoll tells the stub whether the sentry polls its requests, and how often it
// shall look for the answer.
func (a area) setPoll(poll bool, spin uint32) {
	v := uint32(0)
	if poll {
		v = 1
	}
	atomic.StoreUint32(a.word32(areaSpin), spin)
	atomic.StoreUint32(a.word32(areaPoll), v)
}

// polled says whether the stub posts its requests.
func (a area) polled() bool { return atomic.LoadUint32(a.word32(areaPoll)) != 0 }

// desk returns a new desk in the area.
func (a area) desk() *loan.Desk {
	return loan.NewDesk(a.mem[deskStart:][:loan.Size], deskStart, (*atomic.Uint32)(unsafe.Pointer(a.word32(areaLent))),
		(*atomic.Uint64)(unsafe.Pointer(a.word(areaDirty))))
}

// inFast says whether the signal of the frame at off came while the stub was in
// the path of patched sites.
func (a area) inFast(off uint64) bool {
	at := a.frame(off).ip - stubText
	return at >= offFast && at < stubSize
}

// leaveFast changes the frame at off, if the signal came while the stub was in
// the path of patched sites, to what the application would have at its own
// SYSCALL instruction: about to make it, or with the result. served says that the
// request is being served: the frame then gets the state after the call, whose
// result is the caller's to fill in (finishCall adds syscallLength to ip). It returns true
// if the stub was about to make the call by a loan.
func (a area) leaveFast(off uint64, served bool) (lent bool) {
	if !a.inFast(off) {
		return false
	}
	u := a.frame(off)
	at := u.ip - stubText
	request := atomic.SwapUint32(a.word32(areaRequest), requestNone)
	ret := u.cx
	switch {
	case at < offPush: // the flags are the application's, SP before the first instruction
		u.ip = ret - syscallLength
		if at > offFast {
			u.sp = *a.word(areaSP)
		}
		return false
	case at == offPush:
		u.ip = ret - syscallLength
	case at <= offPost:
		u.ip = ret - syscallLength
		u.eflags = *a.word(areaFlags)
	case at <= offReturn:
		ret = *a.word(areaReturn)
		u.eflags = *a.word(areaFlags)
		u.cx = ret
		u.di, u.si, u.dx, u.r10 = *a.word(areaArgs), *a.word(areaArgs + 8), *a.word(areaArgs + 16), *a.word(areaArgs + 24)
		if served || request != requestNone {
			u.ip = ret - syscallLength
			u.ax = uint64(*a.word32(areaNr))
		} else {
			u.ip = ret
			u.ax = *a.word(areaIP)
		}
	case at < offReturn+popLength+spLength:
		u.ip = ret
	case at < offSlow:
		u.ip = ret
		return false
	case at == offSlow:
		u.ip = ret - syscallLength
		u.eflags = *a.word(areaFlags)
	case at < offSlow+popLength+spLength:
		u.ip = ret - syscallLength
	case at < offLent:
		u.ip = ret - syscallLength
		return false
	case at < offLookup:
		u.ip = ret - syscallLength
		u.eflags = *a.word(areaFlags)
	default:
		ret = *a.word(areaReturn)
		published := at > offPublished || at == offPublished && u.eflags&flagZero != 0
		u.eflags = *a.word(areaFlags)
		u.cx = ret
		u.di, u.si, u.dx, u.r10 = *a.word(areaArgs), *a.word(areaArgs + 8), *a.word(areaArgs + 16), *a.word(areaArgs + 24)
		if published {
			atomic.StoreUint64(a.word(areaDirty), ^uint64(0)) // it may not have said so yet
			u.ip = ret
			u.ax = *a.word(areaIP)
		} else {
			lent = true
			u.ip = ret - syscallLength
			u.ax = uint64(*a.word32(areaNr))
		}
	}
	u.sp = *a.word(areaSP)
	return lent
}

// flagZero is ZF in EFLAGS.
const flagZero = 1 << 6
