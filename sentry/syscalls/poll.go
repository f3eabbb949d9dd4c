package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/wait"
)

// A polled is one descriptor that poll(2) or select(2) waits for.
type polled struct {
	fd     int32
	events wait.Events // what is waited for
	got    wait.Events
	file   *vfs.File
	entry  wait.Entry
}

// polledPool holds slices of polled, so that polling does not allocate.
var polledPool = sync.Pool{New: func() any { return new([]polled) }}

// getPolled returns n zero elements, to be given back to putPolled.
func getPolled(n int) *[]polled {
	p := polledPool.Get().(*[]polled)
	if cap(*p) < n {
		*p = make([]polled, n)
	}
	*p = (*p)[:n]
	clear(*p)
	return p
}

// maxPooled is the length of the longest slice that is kept.
const maxPooled = 1024

func putPolled(p *[]polled) {
	for i := range *p {
		if f := (*p)[i].file; f != nil {
			f.DecRef()
		}
	}
	if cap(*p) <= maxPooled {
		clear(*p)
		polledPool.Put(p)
	}
}

// pollFiles waits until one of list, whose files have been looked up, has an event,
// or the deadline, and returns how many have any. Elements that have got already,
// as those without a file, count. ErrRestartSys.
func pollFiles(t *kernel.Task, list []polled, deadline int64) (int, error) {
	scan := func() int {
		n := 0
		for i := range list {
			p := &list[i]
			if p.file != nil {
				p.got = p.file.Readiness(p.events) & p.events
			}
			if p.got != 0 {
				n++
			}
		}
		return n
	}
	n := scan()
	if n == 0 && t.SettleLoans() {
		n = scan()
	}
	if n > 0 || deadline != clock.Never && clock.Monotonic() >= deadline {
		return n, nil
	}
	for i := range list {
		if p := &list[i]; p.file != nil {
			p.entry = t.NewWaitEntry()
			p.file.Ops().Register(&p.entry, p.events)
		}
	}
	defer func() {
		for i := range list {
			if p := &list[i]; p.file != nil {
				p.file.Ops().Unregister(&p.entry)
			}
		}
	}()
	for {
		if n := scan(); n > 0 {
			return n, nil
		}
		if err := t.Block(deadline); err != nil {
			n := scan()
			if n > 0 || err == unix.ETIMEDOUT {
				return n, nil
			}
			return 0, err
		}
	}
}

const pollfdSize = 8

// poll does poll(2) once.
func poll(t *kernel.Task, addr uint64, n uint32, deadline int64) (uint64, error) {
	if uint64(n) > t.ThreadGroup().Limits().Get(unix.RLIMIT_NOFILE).Cur {
		return 0, unix.EINVAL
	}
	var small [32 * pollfdSize]byte
	b := small[:]
	if n <= 32 {
		b = b[:n*pollfdSize]
	} else {
		b = make([]byte, n*pollfdSize)
	}
	if err := copyIn(t, addr, b); err != nil {
		return 0, err
	}
	list := getPolled(int(n))
	defer putPolled(list)
	fds := t.FDTable()
	for i := range *list {
		p := &(*list)[i]
		p.fd = int32(le.Uint32(b[pollfdSize*i:]))
		p.events = wait.Events(le.Uint16(b[pollfdSize*i+4:])) | wait.Err | wait.Hup
		if p.fd < 0 {
			continue
		}
		if p.file = fds.Get(p.fd); p.file == nil {
			p.got = wait.Nval
		}
	}
	count, err := pollFiles(t, *list, deadline)
	if err != nil {
		return 0, err
	}
	for i := range *list {
		le.PutUint16(b[pollfdSize*i+6:], uint16((*list)[i].got))
	}
	return uint64(count), copyOut(t, addr, b)
}

// A pollRestart is a poll(2) that a signal has interrupted.
type pollRestart struct {
	Addr     uint64
	N        uint32
	Deadline int64
}

// Restart implements kernel.RestartBlock.
func (r *pollRestart) Restart(t *kernel.Task) (uint64, error) {
	n, err := poll(t, r.Addr, r.N, r.Deadline)
	if err == kernel.ErrRestartSys {
		t.SetRestart(r)
		err = kernel.ErrRestartBlock
	}
	return n, err
}

// sysPoll is poll(2).
func sysPoll(t *kernel.Task, a kernel.Args) (uint64, error) {
	deadline := clock.Never
	if ms := a.Int(2); ms >= 0 {
		deadline = clock.After(int64(ms) * 1e6)
	}
	n, err := poll(t, a.Ptr(0), a.Uint(1), deadline)
	if err == kernel.ErrRestartSys {
		t.SetRestart(&pollRestart{a.Ptr(0), a.Uint(1), deadline})
		err = kernel.ErrRestartBlock
	}
	return n, err
}

// timeoutDeadline reads an optional timespec as a deadline.
func timeoutDeadline(t *kernel.Task, addr uint64) (int64, error) {
	if addr == 0 {
		return clock.Never, nil
	}
	ns, err := getTimespec(t, addr)
	if err != nil {
		return 0, err
	}
	return clock.After(ns), nil
}

// timeLeft is what remains until a deadline, in ns.
func timeLeft(deadline int64) int64 { return max(deadline-clock.Monotonic(), 0) }

// withMask runs f with the signal mask at addr, if there is one, in place of the
// task's: what ppoll(2) and its like do. f's ErrRestartSys becomes
// ErrRestartNoHand.
func withMask(t *kernel.Task, addr, size uint64, f func() (uint64, error)) (uint64, error) {
	if addr != 0 {
		set, err := getSigSet(t, addr, size)
		if err != nil {
			return 0, err
		}
		t.SetTempMask(set)
	}
	n, err := f()
	if err == kernel.ErrRestartSys {
		return n, kernel.ErrRestartNoHand
	}
	if err != unix.EINTR {
		t.RestoreMask()
	}
	return n, err
}

// sysPpoll is ppoll(2).
func sysPpoll(t *kernel.Task, a kernel.Args) (uint64, error) {
	deadline, err := timeoutDeadline(t, a.Ptr(2))
	if err != nil {
		return 0, err
	}
	n, err := withMask(t, a.Ptr(3), a.Size(4), func() (uint64, error) {
		return poll(t, a.Ptr(0), a.Uint(1), deadline)
	})
	if addr := a.Ptr(2); addr != 0 {
		putTimespec(t, addr, timeLeft(deadline))
	}
	return n, err
}

// What the three sets of select(2) stand for.
const (
	selectIn  = wait.In | wait.RdNorm | wait.RdBand | wait.Hup | wait.Err
	selectOut = wait.Out | wait.WrNorm | wait.WrBand | wait.Err
	selectEx  = wait.Pri
)

// selectFDs does select(2) with the sets at addrs, any of which may be 0.
func selectFDs(t *kernel.Task, n int32, addrs [3]uint64, deadline int64) (uint64, error) {
	if n < 0 {
		return 0, unix.EINVAL
	}
	n = min(n, int32(vfs.MaxFDs))
	size := (int(n) + 63) / 64 * 8
	var sets [3][]byte
	for i, addr := range addrs {
		if addr != 0 {
			sets[i] = make([]byte, size)
			if err := copyIn(t, addr, sets[i]); err != nil {
				return 0, err
			}
		}
	}
	masks := [3]wait.Events{selectIn, selectOut, selectEx}
	wanted := func(fd int) wait.Events {
		var m wait.Events
		for i, set := range sets {
			if set != nil && set[fd/8]>>(fd%8)&1 != 0 {
				m |= masks[i]
			}
		}
		return m
	}
	count := 0
	for fd := range int(n) {
		if wanted(fd) != 0 {
			count++
		}
	}
	list := getPolled(count)
	defer putPolled(list)
	fds := t.FDTable()
	i := 0
	for fd := range int(n) {
		m := wanted(fd)
		if m == 0 {
			continue
		}
		p := &(*list)[i]
		i++
		p.fd, p.events = int32(fd), m
		if p.file = fds.Get(p.fd); p.file == nil {
			return 0, unix.EBADF
		}
	}
	if _, err := pollFiles(t, *list, deadline); err != nil {
		return 0, err
	}
	var out [3][]byte
	for i := range sets {
		if sets[i] != nil {
			out[i] = make([]byte, size)
		}
	}
	total := uint64(0)
	for j := range *list {
		p := &(*list)[j]
		for i := range sets {
			if sets[i] != nil && sets[i][p.fd/8]>>(p.fd%8)&1 != 0 && p.got&masks[i] != 0 {
				out[i][p.fd/8] |= 1 << (p.fd % 8)
				total++
			}
		}
	}
	for i, addr := range addrs {
		if addr != 0 {
			if err := copyOut(t, addr, out[i]); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

// sysSelect is select(2).
func sysSelect(t *kernel.Task, a kernel.Args) (uint64, error) {
	deadline := clock.Never
	if addr := a.Ptr(4); addr != 0 {
		var b [16]byte
		if err := copyIn(t, addr, b[:]); err != nil {
			return 0, err
		}
		sec, usec := int64(le.Uint64(b[0:])), int64(le.Uint64(b[8:]))
		if sec < 0 || usec < 0 {
			return 0, unix.EINVAL
		}
		ns, err := timespecNS(sec+usec/1e6, usec%1e6*1000)
		if err != nil {
			return 0, err
		}
		deadline = clock.After(ns)
	}
	n, err := selectFDs(t, a.Int(0), [3]uint64{a[1], a[2], a[3]}, deadline)
	if err == kernel.ErrRestartSys {
		err = kernel.ErrRestartNoHand
	}
	if addr := a.Ptr(4); addr != 0 {
		var b [16]byte
		encodeTimeval(b[:], timeLeft(deadline))
		copyOut(t, addr, b[:])
	}
	return n, err
}

// sysPselect6 is pselect(2).
func sysPselect6(t *kernel.Task, a kernel.Args) (uint64, error) {
	deadline, err := timeoutDeadline(t, a.Ptr(4))
	if err != nil {
		return 0, err
	}
	var mask, size uint64
	if addr := a.Ptr(5); addr != 0 {
		if mask, err = getUint64(t, addr); err != nil {
			return 0, err
		}
		if size, err = getUint64(t, addr+8); err != nil {
			return 0, err
		}
	}
	n, err := withMask(t, mask, size, func() (uint64, error) {
		return selectFDs(t, a.Int(0), [3]uint64{a[1], a[2], a[3]}, deadline)
	})
	if addr := a.Ptr(4); addr != 0 {
		putTimespec(t, addr, timeLeft(deadline))
	}
	return n, err
}
