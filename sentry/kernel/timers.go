package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
)

// groupTimers are the interval timers and POSIX timers of a process. They are
// guarded by ThreadGroup.sigMu.
type groupTimers struct {
	tg      *ThreadGroup
	itimers [3]intervalTimer // ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF
	posix   map[int32]*PosixTimer
	nextID  int32
	cpu     clock.Timer // looks at the timers that count CPU time
	dead    bool
}

// An intervalTimer is setitimer(2)'s.
type intervalTimer struct {
	timer    clock.Timer // of ITIMER_REAL
	next     int64       // when it is due, in its own clock; 0 when not set
	interval int64
}

var itimerSignals = [...]unix.Signal{unix.SIGALRM, unix.SIGVTALRM, unix.SIGPROF}

func (g *groupTimers) init(tg *ThreadGroup) {
	g.tg = tg
	g.itimers[0].timer.Func = g.realExpired
	g.cpu.Func = g.checkCPU
}

// stop disarms everything: the process is exiting.
func (g *groupTimers) stop() {
	tg, q := g.tg, g.tg.k.timers
	tg.sigMu.Lock()
	g.dead = true
	for i := range g.itimers {
		g.itimers[i].next = 0
	}
	for id, p := range g.posix {
		q.Cancel(&p.timer)
		p.gone = true
		delete(g.posix, id)
	}
	tg.sigMu.Unlock()
	q.Cancel(&g.itimers[0].timer)
	q.Cancel(&g.cpu)
}

// deletePosix removes all POSIX timers: execve(2). tg.sigMu is held.
func (g *groupTimers) deletePosix() {
	for id, p := range g.posix {
		g.tg.k.timers.Cancel(&p.timer)
		p.gone = true
		delete(g.posix, id)
	}
}

// now returns the time of the clock of interval timer which. sigMu is held.
func (g *groupTimers) now(which int) int64 {
	if which == unix.ITIMER_REAL {
		return clock.Monotonic()
	}
	u, s := g.tg.cpuTimeLocked()
	if which == int(unix.ITIMER_PROF) {
		return u + s
	}
	return u
}

// SetITimer sets interval timer which to value and interval (ns) and returns what
// it was: setitimer(2). A value of 0 disarms it.
func (tg *ThreadGroup) SetITimer(which int, value, interval int64) (oldValue, oldInterval int64) {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	g := &tg.timers
	oldValue, oldInterval = g.remaining(which)
	it := &g.itimers[which]
	it.interval = interval
	it.next = 0
	if value > 0 && !g.dead {
		it.next = addDeadline(g.now(which), value)
	}
	if which != unix.ITIMER_REAL {
		g.armCPU()
	} else if it.next == 0 {
		tg.k.timers.Cancel(&it.timer)
	} else {
		tg.k.timers.Set(&it.timer, it.next)
	}
	return oldValue, oldInterval
}

// ITimer returns the time left on interval timer which, and its interval, in ns:
// getitimer(2).
func (tg *ThreadGroup) ITimer(which int) (value, interval int64) {
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	return tg.timers.remaining(which)
}

func (g *groupTimers) remaining(which int) (value, interval int64) {
	it := &g.itimers[which]
	if it.next != 0 {
		value = max(it.next-g.now(which), 1000)
	}
	return value, it.interval
}

// addDeadline is now+d, at most clock.Never.
func addDeadline(now, d int64) int64 {
	if d > clock.Never-now {
		return clock.Never
	}
	return now + d
}

// advance moves next past now by whole intervals and returns how many it was moved
// beyond the first.
func advance(next *int64, interval, now int64) (overrun int64) {
	if now >= *next {
		overrun = (now - *next) / interval
		*next = addDeadline(*next, (overrun+1)*interval)
	}
	return overrun
}

// realExpired sends SIGALRM.
func (g *groupTimers) realExpired() {
	tg := g.tg
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	it := &g.itimers[0]
	now := clock.Monotonic()
	if it.next == 0 || now < it.next {
		return
	}
	if it.interval > 0 {
		advance(&it.next, it.interval, now)
		tg.k.timers.Set(&it.timer, it.next)
	} else {
		it.next = 0
	}
	tg.sendLocked(&SigInfo{Signo: int32(unix.SIGALRM), Code: SIKernel}, nil, false)
}

// armCPU sets the timer that looks at CPU clocks to when the first can be due: all
// threads at once cannot use more than their number times the time. sigMu is held.
func (g *groupTimers) armCPU() {
	left := int64(clock.Never)
	for which := unix.ITIMER_VIRTUAL; which <= unix.ITIMER_PROF; which++ {
		if it := &g.itimers[which]; it.next != 0 {
			left = min(left, it.next-g.now(int(which)))
		}
	}
	for _, p := range g.posix {
		if p.next != 0 && p.cpu != nil {
			left = min(left, p.next-p.cpu())
		}
	}
	if limit := g.tg.limits.Get(unix.RLIMIT_CPU); limit.Cur != unix.RLIM_INFINITY && limit.Cur < 1<<32 {
		left = min(left, g.cpuLimit(limit)-g.now(int(unix.ITIMER_PROF)))
	}
	if left == clock.Never || g.dead {
		g.tg.k.timers.Cancel(&g.cpu)
		return
	}
	const atLeast = 1e6
	n := int64(max(len(g.tg.tasks), 1))
	g.tg.k.timers.Set(&g.cpu, clock.After(max(left/n, atLeast)))
}

// cpuLimit is at which CPU time, in ns, RLIMIT_CPU makes itself felt next.
func (g *groupTimers) cpuLimit(l unix.Rlimit) int64 {
	return int64(min(l.Cur, l.Max)) * 1e9
}

// CPULimitChanged has RLIMIT_CPU looked at.
func (tg *ThreadGroup) CPULimitChanged() {
	tg.sigMu.Lock()
	tg.timers.armCPU()
	tg.sigMu.Unlock()
}

// checkCPU sends the signals of timers whose CPU clocks have reached their time.
func (g *groupTimers) checkCPU() {
	tg := g.tg
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	if g.dead {
		return
	}
	for which := unix.ITIMER_VIRTUAL; which <= unix.ITIMER_PROF; which++ {
		it := &g.itimers[which]
		now := g.now(int(which))
		if it.next == 0 || now < it.next {
			continue
		}
		if it.interval > 0 {
			advance(&it.next, it.interval, now)
		} else {
			it.next = 0
		}
		tg.sendLocked(kernelSigInfo(int32(itimerSignals[which])), nil, false)
	}
	for _, p := range g.posix {
		if p.cpu != nil {
			p.expireLocked(p.cpu())
		}
	}
	if limit := tg.limits.Get(unix.RLIMIT_CPU); limit.Cur != unix.RLIM_INFINITY {
		used := g.now(int(unix.ITIMER_PROF))
		if limit.Max != unix.RLIM_INFINITY && uint64(used) >= limit.Max*1e9 {
			tg.sendLocked(kernelSigInfo(int32(unix.SIGKILL)), nil, true)
		} else if uint64(used) >= limit.Cur*1e9 {
			tg.sendLocked(kernelSigInfo(int32(unix.SIGXCPU)), nil, false)
			limit.Cur++
			tg.limits.Set(unix.RLIMIT_CPU, limit)
		}
	}
	g.armCPU()
}

// A PosixTimer is a timer of timer_create(2). It is guarded by its group's sigMu.
type PosixTimer struct {
	tg    *ThreadGroup
	id    int32
	clock int32
	cpu   func() int64 // reads the CPU clock that it counts; nil for others
	timer clock.Timer

	notify int32 // SIGEV_*
	signo  int32
	value  uint64
	target *Task // SIGEV_THREAD_ID

	next     int64 // when it is due: monotonic, or by cpu; 0 when not set
	interval int64
	queued   bool // its signal is pending
	overrun  int64
	last     int32 // overrun of the signal delivered last
	gone     bool
}

// What sigev_notify says.
const (
	SigevSignal   = 0
	SigevNone     = 1
	SigevThread   = 2
	SigevThreadID = 4
)

// maxPosixTimers limits the timers of a process, as each may have a signal queued.
const maxPosixTimers = 65536

// CreateTimer makes a POSIX timer on a clock, with sigev_notify, sigev_signo,
// sigev_value and the target thread of SIGEV_THREAD_ID: timer_create(2). cpu reads a
// CPU clock. EAGAIN, EINVAL.
func (t *Task) CreateTimer(clockID int32, cpu func() int64, notify, signo int32, value *uint64, tid int32) (int32, error) {
	tg := t.tg
	p := &PosixTimer{tg: tg, clock: clockID, cpu: cpu, notify: notify, signo: signo}
	p.timer.Func = p.expired
	switch notify {
	case SigevNone:
	case SigevThreadID:
		t.k.mu.RLock()
		p.target = t.pid.ns.taskLocked(tid)
		t.k.mu.RUnlock()
		if p.target == nil || p.target.tg != tg {
			return 0, unix.EINVAL
		}
		fallthrough
	case SigevSignal, SigevThread:
		if !ValidSignal(signo) {
			return 0, unix.EINVAL
		}
	default:
		return 0, unix.EINVAL
	}
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	g := &tg.timers
	if len(g.posix) >= maxPosixTimers {
		return 0, unix.EAGAIN
	}
	if g.posix == nil {
		g.posix = map[int32]*PosixTimer{}
	}
	for g.posix[g.nextID] != nil {
		g.nextID = (g.nextID + 1) & 0x7fffffff
	}
	p.id = g.nextID
	g.nextID = (g.nextID + 1) & 0x7fffffff
	p.value = uint64(p.id)
	if value != nil {
		p.value = *value
	}
	g.posix[p.id] = p
	return p.id, nil
}

// DeleteTimer is timer_delete(2). EINVAL.
func (t *Task) DeleteTimer(id int32) error {
	tg := t.tg
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	p := tg.timers.posix[id]
	if p == nil {
		return unix.EINVAL
	}
	delete(tg.timers.posix, id)
	p.gone = true
	p.next = 0
	t.k.timers.Cancel(&p.timer)
	return nil
}

// now is the time of the timer's clock; monotonic for those that are no CPU clock.
func (p *PosixTimer) now() int64 {
	if p.cpu != nil {
		return p.cpu()
	}
	return clock.Monotonic()
}

func (p *PosixTimer) left() (value, interval int64) {
	if p.next != 0 {
		next := p.next
		if now := p.now(); p.interval > 0 {
			advance(&next, p.interval, now)
			value = next - now
		} else {
			value = max(next-now, 1)
		}
		if p.notify == SigevNone && p.interval == 0 && p.next <= p.now() {
			value = 0
		}
	}
	return value, p.interval
}

// TimerClock returns the clock of timer id. EINVAL.
func (t *Task) TimerClock(id int32) (int32, error) {
	t.tg.sigMu.Lock()
	defer t.tg.sigMu.Unlock()
	p := t.tg.timers.posix[id]
	if p == nil {
		return 0, unix.EINVAL
	}
	return p.clock, nil
}

// SetTimer arms timer id to go off after value ns, or if absolute at the time value
// (of CLOCK_MONOTONIC, or of its CPU clock), and then every interval ns; it disarms
// it if value is 0. It returns what was left before: timer_settime(2). EINVAL.
func (t *Task) SetTimer(id int32, absolute bool, value, interval int64) (oldValue, oldInterval int64, err error) {
	tg := t.tg
	tg.sigMu.Lock()
	defer tg.sigMu.Unlock()
	p := tg.timers.posix[id]
	if p == nil {
		return 0, 0, unix.EINVAL
	}
	oldValue, oldInterval = p.left()
	p.next, p.interval, p.overrun = 0, 0, 0
	if value != 0 {
		p.next, p.interval = value, interval
		if !absolute {
			p.next = addDeadline(p.now(), value)
		}
	}
	switch {
	case p.cpu != nil:
		tg.timers.armCPU()
	case p.next == 0:
		t.k.timers.Cancel(&p.timer)
	case p.notify != SigevNone:
		t.k.timers.Set(&p.timer, p.next)
	}
	return oldValue, oldInterval, nil
}

// Timer returns what is left on timer id: timer_gettime(2). EINVAL.
func (t *Task) Timer(id int32) (value, interval int64, err error) {
	t.tg.sigMu.Lock()
	defer t.tg.sigMu.Unlock()
	p := t.tg.timers.posix[id]
	if p == nil {
		return 0, 0, unix.EINVAL
	}
	value, interval = p.left()
	return value, interval, nil
}

// TimerOverrun is timer_getoverrun(2). EINVAL.
func (t *Task) TimerOverrun(id int32) (int32, error) {
	t.tg.sigMu.Lock()
	defer t.tg.sigMu.Unlock()
	p := t.tg.timers.posix[id]
	if p == nil {
		return 0, unix.EINVAL
	}
	return p.last, nil
}

// expired is called by the timer queue.
func (p *PosixTimer) expired() {
	p.tg.sigMu.Lock()
	defer p.tg.sigMu.Unlock()
	p.expireLocked(clock.Monotonic())
	if p.next != 0 && !p.gone {
		p.tg.k.timers.Set(&p.timer, p.next)
	}
}

// expireLocked sends the signal if the timer is due. sigMu is held.
func (p *PosixTimer) expireLocked(now int64) {
	if p.gone || p.next == 0 || now < p.next {
		return
	}
	n := int64(0)
	if p.interval > 0 {
		n = advance(&p.next, p.interval, now)
	} else {
		p.next = 0
	}
	if p.notify == SigevNone {
		return
	}
	if p.queued {
		p.overrun += n + 1
		return
	}
	p.overrun = n
	info := &SigInfo{Signo: p.signo, Code: SITimer}
	info.setTimer(p.id, 0)
	info.SetValue(p.value)
	to := p.target
	if to != nil && to.exiting {
		return
	}
	p.tg.sendTimerLocked(info, to, false, p)
}

// delivered fills in the overrun count of the timer's signal, which is being
// taken. sigMu is held.
func (p *PosixTimer) delivered(info *SigInfo) {
	p.queued = false
	p.last = int32(min(p.overrun, 1<<31-1))
	p.overrun = 0
	info.setTimer(p.id, p.last)
}
