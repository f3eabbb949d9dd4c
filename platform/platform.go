// Package platform is the boundary between the sentry and whatever runs the
// application's instructions: ptrace, systrap (seccomp), a virtual machine.
//
// The platform calls up. An application thread is a passive Context; when it
// makes a system call, faults or is interrupted, the platform calls the
// Context's Handler on the very OS thread that received the event, and the
// Handler's answer says how the Context goes on. A Handler that must wait calls
// Context.Park, or Context.Blocking first if it is to wait in some other way; the
// platform sees to it that somebody else listens for events meanwhile.
//
// The package and its sub-packages import nothing of the sentry.
package platform

import (
	"casemate/platform/arch"
	"casemate/platform/loan"
)

// A Disposition is a Handler's answer: what becomes of the Context.
type Disposition int

const (
	// Resume returns to application code with the registers in State.
	Resume Disposition = iota
	// ResumeFull makes the platform call HandleInterrupt with the whole state
	// (State.Full) before the Context runs another instruction of the
	// application. A system call's handler returns it when a signal is to be
	// delivered; the result of the call is then in the registers.
	ResumeFull
	// Exit says that the Context never runs again. The platform lets go of its
	// host thread; the sentry calls Release.
	Exit
)

// A Handler is the sentry's side of a Context. Its methods are called on the
// goroutine (and OS thread) that received the event; for one Context never two
// at a time, but for HandleKill.
type Handler interface {
	// HandleSyscall serves the system call that the Context has made. Always
	// valid: the call number (State.Regs' Orig_rax on amd64), the six
	// arguments and the instruction pointer (the address after the system call
	// instruction). The other registers are valid only if State.Full; the
	// numbers for which the sentry needs them are told to the platform by
	// Options.FullStateSyscalls. The result goes to State.SetReturn.
	HandleSyscall(c Context) Disposition
	// HandleFault serves a processor exception; State.Full holds.
	HandleFault(c Context, f Fault) Disposition
	// HandleInterrupt is called after Interrupt, after ResumeFull, and
	// spuriously; State.Full holds.
	HandleInterrupt(c Context) Disposition
	// HandleDeath is called when the host thread or process that carried the
	// Context has died (killed from outside, or by its own doing). The Context
	// can never run again.
	HandleDeath(c Context)
	// HandleKill is called when the host process that carries the Context has been
	// killed during one of its upcalls: the task is to end, whatever it waits for.
	// Alone of all it may be called while an upcall is in progress, on another
	// goroutine, and even after the Context's end. It does not block. A platform
	// that finds out later calls just HandleDeath.
	HandleKill(c Context)
}

// A Fault is a processor exception as Linux's signal frame reports it.
type Fault struct {
	// Signal is SIGSEGV, SIGBUS, SIGILL, SIGFPE or SIGTRAP.
	Signal int
	// Code is the si_code (SEGV_MAPERR, FPE_INTDIV, TRAP_BRKPT, ...) that the
	// host gave. For SIGSEGV and SIGBUS the sentry works out its own.
	Code int
	// Addr is the address of the access, or of the instruction.
	Addr uint64
	// Write and Exec say what kind of access failed, where known; else it was a
	// read, or a write to where the host has nothing mapped: that faults once more
	// if what the sentry maps cannot be written, and is then known.
	Write, Exec bool
	// Access is true when the fault was a page fault, which the sentry may
	// resolve by mapping; false for general protection and all other faults.
	Access bool
	// TrapNo and ErrorCode are the processor's numbers, as uc_mcontext has them.
	TrapNo, ErrorCode uint64
}

// State is the machine state of a Context, owned by the sentry between an
// upcall and its return, and before Start. It is the sentry's copy: the
// application cannot change it.
type State struct {
	Regs arch.Registers
	// Full says that Regs and FP are complete. When it is false only what
	// HandleSyscall promises is valid, and only the return value is taken back.
	Full bool
	// FP is the extended state, an image of XSAVE in standard format as a
	// signal frame has it (arch.FPStateSize bytes). Valid when Full.
	FP []byte
}

// A Context is one application thread.
type Context interface {
	// State returns the Context's registers.
	State() *State
	// Start runs the Context for the first time, with State (which must be
	// Full), in as. It does not wait for it. It fails with ENOMEM or EAGAIN
	// when the host refuses another thread.
	Start(as AddressSpace) error
	// SetAddressSpace moves the Context, which is in an upcall with State.Full,
	// to another address space (execve). The platform takes effect on it when
	// the upcall returns.
	SetAddressSpace(as AddressSpace) error
	// Blocking tells the platform that the goroutine in the Context's upcall is
	// about to park, or to compute for long, so that another one must listen
	// for events. It is cheap, and may be called several times in an upcall.
	Blocking()
	// Park waits, in the Context's upcall, until Unpark; an Unpark that nobody
	// has waited for yet counts. Who waits so costs the least.
	Park()
	// Unpark lets Park return. Any goroutine may call it, under any lock; it does
	// not block.
	Unpark()
	// After has r run as soon as the answer to the system call in progress is on its way, or
	// the Context parks, and before any later event of the Context is served: for what the
	// application need not wait for. It returns false if the caller is to do that itself.
	After(r Runner) bool
	// Desk is what the Context's thread has for loans: what it does by them the sentry sees only
	// when it asks. It is nil if the platform has no such thing. The loans are ended before
	// Exit, and before SetAddressSpace.
	Desk() *loan.Desk
	// Interrupt makes the Context come up by HandleInterrupt soon if it is
	// running application code; if it is in an upcall it does nothing (the
	// sentry looks at its own state before it resumes), except that an
	// Interrupt which races with the return of an upcall is not lost. It may be
	// called by any goroutine, under locks; it does not block.
	Interrupt()
	// Release frees what the Context holds, after the upcall that returned Exit,
	// or after HandleDeath, or when it never was started.
	Release()
}

// A Runner is something to be done.
type Runner interface{ Run() }

// An OpKind says what an Op does.
type OpKind uint8

const (
	// Map maps FD at Offset over [Addr, Addr+Length), MAP_SHARED|MAP_FIXED,
	// replacing what was there.
	Map OpKind = iota
	// Unmap removes all mappings in the range.
	Unmap
	// Protect changes the protection of the range, all of which is mapped.
	Protect
)

// An Op is one change of an address space. Addr, Length and Offset are multiples
// of the page size and lie in the platform's user range.
type Op struct {
	Kind     OpKind
	Addr     uint64
	Length   uint64
	Prot     int // PROT_READ|PROT_WRITE|PROT_EXEC
	FD       int // a file descriptor of the sentry
	Offset   uint64
	Populate bool // MAP_POPULATE: the pages exist and will be touched at once
	Private  bool // map MAP_PRIVATE (Prot without PROT_WRITE): for host files whose descriptor is not to be shared-mapped
}

// An AddressSpace is the host's or the hardware's side of an application's
// address space. Memory in it only ever comes from files that the sentry holds,
// so that unmapping never loses data.
type AddressSpace interface {
	// Apply carries out ops in order. They are in effect when Apply returns or,
	// when c is the only Context in the address space that could run, before c
	// runs application code again (so that they cost no hand-off of their own);
	// c is the Context in whose upcall the caller is if it belongs to this
	// address space, else nil. The caller serialises Apply and Fork on one
	// address space (it holds the memory manager's lock). ops may be reused
	// after the return. An error means that the address space is dead
	// (its process was killed, or the host refused: ENOMEM).
	Apply(c Context, ops []Op) error
	// Fork returns a new address space with the same mappings. c is as in Apply,
	// text as in NewAddressSpace, for the new one: what Text has hidden and
	// patched in this one must be in the new one too.
	Fork(c Context, text Text) (AddressSpace, error)
	// Release gives up the address space: nothing runs in it any more, and
	// when Release returns nothing can access its memory any more.
	Release()
}

// Titled is implemented by an AddressSpace behind which there is a process of the host whose
// entry in the host's list of processes can be changed.
type Titled interface {
	// SetTitle has that process's thread called name, and line be its command line, as
	// proc_pid_comm(5) and proc_pid_cmdline(5) show them; both are cut as needed. It
	// interrupts what runs in the address space, and is serialised with Apply. It returns
	// the process's number as the sentry knows it, 0 if it is dead.
	SetTitle(name, line string) (pid int)
}

// Text is how a platform that rewrites system call instructions reaches the
// application's memory; the memory manager implements it. Calls come from
// within an upcall of a Context of that address space, no locks held.
type Text interface {
	// ReadText copies len(p) bytes at addr, which must be executable.
	ReadText(addr uint64, p []byte) error
	// PatchText replaces the bytes old at addr by new in a private executable
	// mapping, copy-on-write, whatever its protection; it does nothing and
	// returns false if the bytes are not old any more or the mapping is shared
	// or writable.
	PatchText(c Context, addr uint64, old, new []byte) bool
	// ReserveHidden maps length bytes (read, execute) for the platform's own
	// code in [lo, hi), as low as it can, at an address where the application
	// has nothing; it is not shown in /proc/PID/maps, is inherited by fork, and
	// goes with the address space.
	ReserveHidden(c Context, lo, hi, length uint64) (addr uint64, err error)
	// WriteHidden writes code into such a mapping.
	WriteHidden(c Context, addr uint64, code []byte) error
}

// Options are what the sentry tells a platform when it opens it.
type Options struct {
	// FullStateSyscalls are the numbers of the calls whose handlers need State.Full
	// (clone, execve, rt_sigreturn, ...) or change the address space (mmap, ...).
	FullStateSyscalls []uintptr
	// Log receives one line for what an operator may want to know. May be nil.
	Log func(format string, args ...any)
}

// A Platform runs application code.
type Platform interface {
	// Name is the name by which --platform chooses it.
	Name() string
	// UserRange is the range of addresses [lo, hi) that an application can use.
	UserRange() (lo, hi uint64)
	// NewAddressSpace returns an empty address space. text may be nil: then
	// nothing is rewritten.
	NewAddressSpace(text Text) (AddressSpace, error)
	// NewContext returns a Context that is not running, its State zero but for
	// FP, which is the processor's initial state.
	NewContext(h Handler) Context
	// HostSyscalls lists what the sentry's seccomp filter must allow for the
	// platform's sake once it has been opened.
	HostSyscalls() []HostSyscall
	// Close ends all stubs. No Context runs.
	Close() error
}

// A HostSyscall is a system call that a filter allows. Args holds the arguments
// that must have a given value; the others are free.
type HostSyscall struct {
	Nr   uintptr
	Args []ArgRule
}

// An ArgRule says that argument Index (0 to 5), under Mask, equals Value. Mask 0
// stands for all bits.
type ArgRule struct {
	Index       int
	Value, Mask uint64
}
