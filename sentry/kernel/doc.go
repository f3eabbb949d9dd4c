// Package kernel is the sentry's process model: tasks, thread groups, sessions,
// pid namespaces, signals, futexes, timers, credentials, and the way a system
// call takes from the platform to its handler.
//
// # How a system call is written
//
// A handler is a func(t *Task, a Args) (uint64, error). It runs on the goroutine
// of the platform that received the call, as the task itself: what the task
// alone changes (FSContext, its registers) needs no lock. The error is a
// unix.Errno, or one of the restart codes (ErrRestartSys, ...) when a signal cut
// the call short.
//
// A handler that must wait registers the task on a wait queue, tries, and if
// that gives EAGAIN calls Block; then it tries again:
//
//	e := t.WaitEntry()
//	q.Register(e, wait.Readable)
//	defer q.Unregister(e)
//	for {
//		n, err := try()
//		if err != unix.EAGAIN {
//			return n, err
//		}
//		if err := t.Block(clock.Never); err != nil {
//			return 0, err // ErrRestartSys
//		}
//	}
//
// A wake-up that comes between the try and Block is not lost: it makes Block
// return at once. Block may return without a reason; so it stands in a loop.
//
// # Locks
//
// In the order in which they are taken:
//
//	Kernel.mu        the process tree: pids, thread groups, process groups,
//	                 sessions, parents and children, exit states
//	ThreadGroup.sig  (ThreadGroup.sigMu) pending signals, masks, stops; the list
//	                 of a group's tasks changes with both locks held and can be
//	                 read with either
//	SignalHandlers.mu, Limits, the timer queue
//	locks of wait queues
//
// A futex bucket's lock comes before a memory manager's, as futex words are
// compared with it held; none of the above is taken with it, nor it with them.
// Otherwise neither a memory manager's lock nor a file system's is taken with any of
// these held, nor is application memory touched. Kernel.mu is read-locked by
// readers that must not lock it again (a waiting writer would block the second).
package kernel
