//go:build amd64

package systrap

import (
	"sync"
	"sync/atomic"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// Platform implements platform.Platform.
type Platform struct {
	options  platform.Options
	listener int
	text     int // file of the stub's code
	areas    *areas
	low      uint64
	// parent is this process's ID, for stubs to see that it lives; 0 if it is the
	// init process of its PID namespace, with which they die anyway.
	parent uint64

	// template is the thread of an empty process that others are cloned from.
	template struct {
		sync.Mutex // held to clone; comes before space.exec
		t          *thread
	}

	tids   tids
	births struct {
		sync.Mutex
		m map[uint64]*birth
	}
	marks atomic.Uint64 // odd, so that no mark is an offset

	role    atomic.Pointer[role]
	waiters atomic.Int32 // goroutines that wait for stubs

	watch   watch
	spares  spares
	deaf    deaf
	spinner spinner
	full    [fullNumbers]bool // the numbers in FullStateSyscalls

	procs   sync.WaitGroup
	closing atomic.Bool
	idle    workers
	ready   workers       // parked, and told to go on
	workers atomic.Int32  // drivers, and goroutines that listen in another's stead
	stopped chan struct{} // closed when there is none after closing
	over    chan struct{} // closed when nobody shall wait for notifications any more
	anchor  chan struct{} // closed to let the template's parent thread end
}

// fullNumbers is more than the largest number of a system call, a power of 2.
const fullNumbers = 1024

// Name implements platform.Platform.
func (p *Platform) Name() string { return "systrap" }

// UserRange implements platform.Platform.
func (p *Platform) UserRange() (lo, hi uint64) { return p.low, stubStart }

func (p *Platform) logf(format string, args ...any) {
	if p.options.Log != nil {
		p.options.Log(format, args...)
	}
}

// HostSyscalls implements platform.Platform.
func (p *Platform) HostSyscalls() []platform.HostSyscall {
	return []platform.HostSyscall{
		{Nr: unix.SYS_IOCTL, Args: []platform.ArgRule{{Index: 0, Value: uint64(p.listener)}, {Index: 1, Value: unix.SECCOMP_IOCTL_NOTIF_RECV}}},
		{Nr: unix.SYS_IOCTL, Args: []platform.ArgRule{{Index: 0, Value: uint64(p.listener)}, {Index: 1, Value: unix.SECCOMP_IOCTL_NOTIF_SEND}}},
		{Nr: unix.SYS_TGKILL, Args: []platform.ArgRule{{Index: 2, Value: interruptSignal}}},
		{Nr: unix.SYS_TGKILL, Args: []platform.ArgRule{{Index: 2, Value: 0}}},
		{Nr: unix.SYS_KILL, Args: []platform.ArgRule{{Index: 1, Value: uint64(unix.SIGKILL)}}},
		{Nr: unix.SYS_WAIT4, Args: []platform.ArgRule{{Index: 2, Value: unix.WCLONE}}},
		{Nr: unix.SYS_POLL, Args: []platform.ArgRule{{Index: 1, Value: 1}}},
		{Nr: unix.SYS_CLOCK_GETTIME},
		{Nr: unix.SYS_SCHED_SETAFFINITY}, // of hot threads
		{Nr: unix.SYS_LSEEK, Args: []platform.ArgRule{{Index: 0, Value: uint64(p.areas.fd)}}},
		{Nr: unix.SYS_FALLOCATE, Args: []platform.ArgRule{{Index: 0, Value: uint64(p.areas.fd)}, {Index: 1, Value: unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE}}},
	}
}

// dismiss ends all workers that listen. Each leaves after the next notification,
// so the template makes as many calls as it takes.
func (p *Platform) dismiss() {
	close(p.over)
	p.template.Lock()
	defer p.template.Unlock()
	for p.template.t.proc.dead.Load() {
		if !p.replaceTemplate() {
			return // nobody is left who could wake them
		}
	}
	t := p.template.t
	t.mu.Lock()
	defer t.mu.Unlock()
	for {
		t.calls, t.next, t.ride = make([]call, maxCalls), 0, false
		for i := range t.calls {
			t.calls[i].nr = unix.SYS_GETPID
		}
		t.area.putCalls(t.calls)
		t.answer(phaseCalls, cmdCalls|maxCalls<<cmdCountShift, 0)
		select {
		case <-p.stopped:
			return
		case <-t.proc.gone:
			return
		case <-t.done:
		}
	}
}

// Close implements platform.Platform.
func (p *Platform) Close() error {
	if p.template.t != nil {
		p.spinner.close()
		p.watch.close()
		p.spares.close()
		p.closing.Store(true)
		p.dismiss()
	}
	for _, proc := range reaper.all(p) {
		proc.kill()
	}
	p.procs.Wait()
	ended := make(chan struct{})
	go func() { // not locked to a thread, as the caller may be
		defer close(ended)
		for w := p.idle.pop(); w != nil; w = p.idle.pop() {
			w.end()
		}
	}()
	<-ended
	if p.listener >= 0 {
		unix.Close(p.listener)
	}
	if p.text >= 0 {
		unix.Close(p.text)
	}
	p.areas.close()
	close(p.anchor)
	return nil
}
