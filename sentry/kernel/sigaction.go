package kernel

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// Flags of sigaction(2).
const (
	saNoCldStop    = 0x1
	saNoCldWait    = 0x2
	saSigInfo      = 0x4
	saExposeTagbit = 0x800
	saRestorer     = 0x04000000
	saOnStack      = 0x08000000
	saRestart      = 0x10000000
	saNoDefer      = 0x40000000
	saResetHand    = 0x80000000

	saKnown = saNoCldStop | saNoCldWait | saSigInfo | saExposeTagbit | saRestorer | saOnStack | saRestart | saNoDefer | saResetHand
)

// Handlers that are no addresses.
const (
	sigDfl = 0
	sigIgn = 1
)

// A SigAction is what a process does on a signal: the kernel's struct sigaction.
type SigAction struct {
	Handler  uint64
	Flags    uint64
	Restorer uint64
	Mask     SignalSet
}

// SigActionSize is sizeof(struct kernel_sigaction).
const SigActionSize = 32

// Encode writes the struct to p, which has SigActionSize bytes.
func (a *SigAction) Encode(p []byte) {
	le := binary.LittleEndian
	le.PutUint64(p[0:], a.Handler)
	le.PutUint64(p[8:], a.Flags)
	le.PutUint64(p[16:], a.Restorer)
	le.PutUint64(p[24:], uint64(a.Mask))
}

// Decode reads the struct from p, which has SigActionSize bytes.
func (a *SigAction) Decode(p []byte) {
	le := binary.LittleEndian
	a.Handler = le.Uint64(p[0:])
	a.Flags = le.Uint64(p[8:])
	a.Restorer = le.Uint64(p[16:])
	a.Mask = SignalSet(le.Uint64(p[24:]))
}

// SignalHandlers are the actions of a process, or of several processes that share
// them (CLONE_SIGHAND).
type SignalHandlers struct {
	mu      sync.Mutex
	actions [NumSignals]SigAction
	refs    int // thread groups that use it
}

func (h *SignalHandlers) get(sig int32) SigAction {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.actions[sig-1]
}

// fork returns a copy for a child that does not share.
func (h *SignalHandlers) fork() *SignalHandlers {
	h.mu.Lock()
	defer h.mu.Unlock()
	return &SignalHandlers{actions: h.actions, refs: 1}
}

// reset sets all handled signals to their default, or all signals if all.
func (h *SignalHandlers) reset(all bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := range h.actions {
		a := &h.actions[i]
		if all || a.Handler != sigIgn {
			*a = SigAction{}
		} else {
			*a = SigAction{Handler: sigIgn}
		}
	}
}

// SigAction sets the action for sig to *set, if set is not nil, and returns the
// one before: rt_sigaction(2). EINVAL.
func (t *Task) SigAction(sig int32, set *SigAction) (SigAction, error) {
	if !ValidSignal(sig) || set != nil && Unblockable.Has(sig) {
		return SigAction{}, unix.EINVAL
	}
	tg := t.tg
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	h := tg.handlers
	h.mu.Lock()
	old := h.actions[sig-1]
	if set != nil {
		a := *set
		a.Mask &^= Unblockable
		a.Flags &= saKnown
		h.actions[sig-1] = a
	}
	h.mu.Unlock()
	if set != nil && (set.Handler == sigIgn || set.Handler == sigDfl && ignoreSignals.Has(sig)) {
		// POSIX: a pending signal that is now ignored is discarded.
		tg.pending.flush(bit(sig))
		for _, o := range tg.tasks {
			o.pending.flush(bit(sig))
			o.recalcSignals()
		}
	}
	return old, nil
}

// A SignalStack is an alternate signal stack, sigaltstack(2).
type SignalStack struct {
	Addr  uint64
	Flags uint32
	Size  uint64
}

// Flags of a SignalStack.
const (
	ssOnStack    = 1
	ssDisable    = 2
	ssAutodisarm = 1 << 31
)

// holds reports whether sp is on the stack.
func (s *SignalStack) holds(sp uint64) bool {
	if s.Flags&ssAutodisarm != 0 {
		return false
	}
	return s.Size != 0 && sp > s.Addr && sp-s.Addr <= s.Size
}

// shown is the stack as sigaltstack(2) and a signal frame report it.
func (s *SignalStack) shown(sp uint64) SignalStack {
	r := *s
	switch {
	case s.Size == 0:
		r.Flags = ssDisable | s.Flags&ssAutodisarm
	case s.holds(sp):
		r.Flags |= ssOnStack
	}
	return r
}

// SignalStackSize is sizeof(stack_t).
const SignalStackSize = 24

// Encode writes the stack_t to p, which has SignalStackSize bytes.
func (s *SignalStack) Encode(p []byte) {
	le := binary.LittleEndian
	le.PutUint64(p[0:], s.Addr)
	le.PutUint32(p[8:], s.Flags)
	le.PutUint32(p[12:], 0)
	le.PutUint64(p[16:], s.Size)
}

// Decode reads the stack_t from p, which has SignalStackSize bytes.
func (s *SignalStack) Decode(p []byte) {
	le := binary.LittleEndian
	s.Addr = le.Uint64(p[0:])
	s.Flags = le.Uint32(p[8:])
	s.Size = le.Uint64(p[16:])
}

// setAltStack is the setting part of sigaltstack(2). sp is the task's stack
// pointer.
func (t *Task) setAltStack(s SignalStack, sp uint64, minSize uint64) error {
	if t.altStack.holds(sp) {
		return unix.EPERM
	}
	mode := s.Flags &^ ssAutodisarm
	if mode != 0 && mode != ssDisable && mode != ssOnStack {
		return unix.EINVAL
	}
	if mode == ssDisable {
		s.Addr, s.Size = 0, 0
	} else if s.Size < minSize {
		return unix.ENOMEM
	}
	t.altStack = SignalStack{s.Addr, s.Flags & ssAutodisarm, s.Size}
	return nil
}
