package kernel

import (
	"sync/atomic"

	"casemate/sentry/clock"
)

// cpuTime counts a task's time in nanoseconds: between two upcalls the task is in
// user mode, in an upcall that does not block in system mode. That the host has
// given the CPU to somebody else meanwhile is not known and counts too.
type cpuTime struct {
	user, system atomic.Int64
	mark         atomic.Int64 // when the current state began; 0 while blocked or not started
	inUser       atomic.Bool
}

func (c *cpuTime) enterSystem(now int64) {
	c.inUser.Store(false)
	c.mark.Store(now)
}

func (c *cpuTime) leaveSystem(now int64) {
	c.system.Add(now - c.mark.Load())
	c.mark.Store(0)
}

// userToSystem begins an upcall.
func (c *cpuTime) userToSystem(now int64) {
	if m := c.mark.Load(); m != 0 && c.inUser.Load() {
		c.user.Add(now - m)
	}
	c.inUser.Store(false)
	c.mark.Store(now)
}

// systemToUser ends one.
func (c *cpuTime) systemToUser(now int64) {
	c.system.Add(now - c.mark.Load())
	c.mark.Store(now)
	c.inUser.Store(true)
}

// read returns the times so far.
func (c *cpuTime) read() (user, system int64) {
	user, system = c.user.Load(), c.system.Load()
	if m := c.mark.Load(); m != 0 {
		d := max(clock.Monotonic()-m, 0)
		if c.inUser.Load() {
			user += d
		} else {
			system += d
		}
	}
	return user, system
}

// CPUTime returns the task's time in user and in system mode, in nanoseconds.
func (t *Task) CPUTime() (user, system int64) { return t.cpu.read() }

// CPUTime returns the times of all tasks that the group has had.
func (tg *ThreadGroup) CPUTime() (user, system int64) {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	return tg.cpuTimeLocked()
}

// cpuTimeLocked is CPUTime with tg.sigMu held.
func (tg *ThreadGroup) cpuTimeLocked() (user, system int64) {
	user, system = tg.deadUser, tg.deadSystem
	for _, t := range tg.tasks {
		u, s := t.cpu.read()
		user, system = user+u, system+s
	}
	return user, system
}

// CPUTimeLocked is the sum of CPUTime's, for a POSIX timer: the process's signals
// are locked.
func (tg *ThreadGroup) CPUTimeLocked() int64 {
	u, s := tg.cpuTimeLocked()
	return u + s
}
