// Package ptrace is the platform that runs application code in processes that
// the sentry traces (ptrace(2), PTRACE_SYSEMU). It works wherever ptrace is
// allowed and is the reference for the other platforms; it is slow.
//
// # Stub processes
//
// An address space is a stub process. Its thread group leader never runs
// application code: it is always in a ptrace stop, and the platform's control
// thread, its tracer, makes it execute the system calls that lay out memory,
// create the threads of Contexts and fork the process. A Context is one more
// thread of the process; it is traced by the OS thread to which the Context's
// goroutine is locked, and upcalls run there. All of a Context's ptrace requests
// come from that thread, as ptrace(2) demands.
//
// The first stub, the template, is a child of the sentry from which everything
// has been unmapped but the stub page; all others are forked from it. All are
// children of the sentry (CLONE_PARENT) and share its descriptor table
// (CLONE_FILES), so that a descriptor of the sentry can be mapped by number.
// PTRACE_O_EXITKILL ends them when the sentry dies.
//
// # What an application can do to a stub
//
// A thread runs application code only under PTRACE_SYSEMU, so that no system
// call of it is executed, whatever address it is made from; that includes int
// $0x80 (given to the sentry as a call with the number -1) and the vsyscall page
// (which the seccomp filter turns into an ordinary event). When the platform
// makes a thread execute a system call, all registers are the platform's and the
// code is the stub page, which cannot be written. The seccomp filter is a second
// line of defence: it allows the stub's own calls, from the stub page only.
//
// # Kind of access in a fault
//
// ptrace does not tell whether a page fault was a read or a write. It follows
// from si_code, provided that whatever is mapped can be read, but for what the
// application itself has made PROT_NONE: SEGV_ACCERR then is a write (or the
// fetch of an instruction, at the instruction pointer), and SEGV_MAPERR is
// reported as a read. If that access was a write and the mapping that the sentry
// makes for it cannot be written, it faults once more and is then known.
package ptrace
