// Package systrap runs application code in stub processes under a seccomp filter
// that lets them make no system call of their own.
//
// # Processes
//
// Every address space is a process, every Context a thread of it. All are clones
// of a template, or of one another: children of the sentry that share its descriptor table (so that
// an Op's FD is valid in them) and hold nothing but the stub: one page of code,
// a read-only table, and the threads' areas, at fixed addresses above the
// application's (layout_amd64.go, stub_amd64.s). An area is memory that a thread
// shares with the sentry: the alternate signal stack, the calls that the thread is
// to make, and its desk.
//
// # Events
//
// The filter (filter_amd64.go) turns every system call into a user notification
// (seccomp_unotify(2)), which is the event: the number, the arguments and the
// caller's thread ID come from the kernel. The answer is the result. The numbers
// in Options.FullStateSyscalls become SIGSYS instead, and so do those that the host
// must not carry out even if the sentry were to allow it, and what is rare
// (filter_amd64.go, notified). The handler of SIGSYS, which is the handler of faults
// and of the interrupt signal too, hands over by a call of its own, which is notified
// likewise. The sentry reads the signal frame in the area, writes another one, and
// answers with the command to return by it.
//
// # What is trusted
//
// Nothing that a stub does. A process inside can jump to any instruction of the
// stub with any registers, and write to its areas at any time. The stub's own
// calls (mmap, munmap, mprotect, clone and few more) are notified too; the sentry
// compares number, arguments and instruction pointer with what it has told that
// very thread to do next, and lets the call go on only if they are the same.
// Registers cannot change between that and the call. No such call has an argument
// that points to memory which the application can write. A stub that does
// anything else is killed. Two calls are not notified, each possible at
// one instruction: FUTEX_WAIT on the platform's own memory, which a signal ends,
// and rt_sigreturn, which changes nothing but the thread's own registers, signal
// mask and alternate stack. A thread that has used that to block the interrupt
// signal is killed when it does not answer (watch_unsafe.go).
//
// After each of its system call instructions the stub depends on no register that
// the sentry has not seen in the notification, so that a command is carried out
// whatever has led there. That is why Apply may let operations ride on the return
// of the address space's only context: nothing of the application runs between
// the answer and the last operation. With several contexts Apply waits until they
// have been made, by the context's own thread if it has one, else by one that is
// idle or interrupted (space.borrow). A plain system call in progress is turned
// into a signal first (thread.ready): its result would let the thread go on in
// code that is not the stub's.
//
// # Listening
//
// One worker has the listener's role: it receives a notification, makes the
// upcall, answers, and so on, all on one OS thread. Workers are coroutines
// (worker.go): when a context parks, the thread goes on with another worker, and
// when it is to go on, with this one again, after the upcall that has unparked it.
// Context.Blocking passes the role to another thread, and so does the watch when
// an upcall takes long. A goroutine that waits for a stub (Apply, Fork, Start)
// listens itself meanwhile if the listener is in an upcall, its own as a rule
// (Platform.waitFor), so that a fork takes no switch between goroutines.
//
// # Patched sites
//
// A system call instruction that has been used a few times is rewritten, if the
// instruction before is of a known kind, to go through the area (patch_amd64.go,
// offset 0x700 of the stub). If threads make many such calls a worker polls their
// areas, on a processor from which it keeps them away (spin_amd64.go), and the call
// costs fractions of a microsecond; else the stub makes the system call after all. A
// stub whose call blocks sleeps by FUTEX_WAIT until the answer is there. The
// application sees no difference: no register but those that SYSCALL changes, no
// flag, no byte of its stack; and a signal in the midst finds the application
// before the SYSCALL or after (area.leaveFast).
//
// Before it posts a request, or makes the system call, the stub looks whether it can read, write
// or make an epoll_ctl(2) by a loan (package loan, offset 0x8c0). A signal finds the application before the
// SYSCALL or after here as well, and a fault at the buffer before it, so that the sentry, asked
// by the SYSCALL itself, says EFAULT or maps the page.
//
// # Death
//
// Whoever waits for a stub waits for the end of its process too (process.gone, closed
// by the reaper). A context that runs application code then dies; one in an upcall is
// told so, and dies when the upcall is over (context.lost). When the template is killed
// another process becomes it (Platform.replaceTemplate).
//
// # Locks
//
// template, then space.exec, then thread.mu, then space.mu, then process.mu; spinner.mu before
// thread.mu. The reaper's comes last. No upcall is made with a lock held.
package systrap
