//go:build amd64

package systrap

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// soon fails the test if c is not closed or sent to in time.
func soon[T any](t *testing.T, c <-chan T, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(20 * time.Second):
		t.Fatalf("not in time: %s", what)
	}
}

// A process that is killed while its context is in an upcall: the Handler is told at
// once, and again when it answers as if nothing had happened. By then it may give up
// the address space.
func TestKillInUpcall(t *testing.T) {
	p := open(t)
	for name, nr := range map[string]uint64{"plain": unix.SYS_READ, "full": unix.SYS_MUNMAP} {
		t.Run(name, func(t *testing.T) {
			g := newGuest(t, p, new(code).call(nr).exit(ax))
			tk := g.newTask()
			killed := make(chan struct{}, 1)
			tk.kill = func() { killed <- struct{}{} }
			tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
				tk.Blocking()
				g.as.(*space).proc.kill()
				soon(t, killed, "HandleKill")
				return platform.Resume
			}
			tk.death = g.as.Release
			if tk.start(g.as).wait(); !tk.died {
				t.Error("survived")
			}
		})
	}
	healthy(t, p)
}

// An address space that is killed because it is released is no loss to the context
// that leaves it.
func TestReleaseInUpcall(t *testing.T) {
	p := open(t)
	g := newGuest(t, p, new(code).call(unix.SYS_EXECVE).exit(ax))
	next := newGuest(t, p, new(code).mov(di, 5).exit(di))
	idle := g.newTask()
	release := make(chan struct{})
	idle.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		tk.Blocking()
		<-release
		close(tk.ended)
		return platform.Exit
	}
	idle.start(g.as)
	tk := g.newTask()
	tk.kill = func() { t.Error("HandleKill") }
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		close(release)
		idle.wait()
		if err := tk.SetAddressSpace(next.as); err != nil {
			t.Error(err)
		}
		tk.State().SetIP(textAddr)
		g.as.Release() // of two threads: not for another address space
		return platform.Resume
	}
	if tk.start(g.as).wait(); tk.died || tk.code != 5 {
		t.Errorf("died %v, code %d", tk.died, tk.code)
	}
}

// The template and the spares are killed: others take their places, as long as there
// is any process.
func TestKillTemplate(t *testing.T) {
	p := open(t)
	loop := new(code)
	loop.jmp(0)
	running := newGuest(t, p, loop)
	tk := running.newTask().start(running.as)
	for range 5 {
		healthy(t, p)
		for _, proc := range reaper.all(p) {
			if proc != running.as.(*space).proc {
				proc.kill()
				soon(t, proc.gone, "death")
			}
		}
		healthy(t, p)
		p.template.t.proc.kill()
	}
	healthy(t, p)
	tk.kill = func() {}
	p.spares.makers.Wait()
	for _, proc := range reaper.all(p) {
		proc.kill()
		soon(t, proc.gone, "death")
	}
	tk.wait()
	for range 2 {
		if _, err := p.NewAddressSpace(nil); err != unix.ESRCH {
			t.Errorf("an address space of nothing: %v", err)
		}
	}
}

// Processes are killed at random while contexts fork, replace their address space,
// make threads, calls and faults, and end. Nobody waits in vain, and nothing is left.
func TestKillAnything(t *testing.T) {
	p := open(t)
	const parents, rounds = 4, 150
	var over atomic.Bool
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		rng := rand.New(rand.NewPCG(7, 8))
		for !over.Load() {
			if procs := reaper.all(p); len(procs) > 0 && rng.IntN(3) == 0 {
				procs[rng.IntN(len(procs))].kill()
			}
			time.Sleep(time.Duration(rng.IntN(500)) * time.Microsecond)
		}
	}()
	const scratch = 0x10000000
	text := new(code).call(unix.SYS_READ).call(unix.SYS_FORK).mov(bx, scratch).load(ax, bx, 0).
		call(unix.SYS_READ).call(unix.SYS_CLONE).call(unix.SYS_EXECVE).call(unix.SYS_EXIT, 1)
	thread := text.here()
	text.call(unix.SYS_READ).call(unix.SYS_MUNMAP).call(unix.SYS_EXIT, 2)
	ended := make(chan struct{}, parents)
	for range parents {
		go func() {
			defer func() { ended <- struct{}{} }()
			for range rounds {
				g := &guest{t: t, p: p}
				var err error
				if g.fd, g.mem, err = sharedFile("guest", 2*guestSize); err != nil {
					t.Error(err)
					return
				}
				copy(g.mem, *text)
				hostile(t, g, scratch, uint64(thread))
				unix.Munmap(g.mem)
				unix.Close(g.fd)
			}
		}()
	}
	for range parents {
		soon(t, ended, "the end of all")
	}
	over.Store(true)
	<-stopped
}

// hostile runs a context for TestKillAnything until it ends, with its offspring.
func hostile(t *testing.T, g *guest, scratch, thread uint64) {
	space := func() platform.AddressSpace {
		as, err := g.p.NewAddressSpace(nil)
		if err != nil || as.Apply(nil, g.layout()) != nil {
			if err == nil {
				as.Release()
			}
			return nil
		}
		return as
	}
	as := space()
	if as == nil {
		return
	}
	var offspring []*task
	tk := g.newTask()
	tk.fault = func(tk *task, f platform.Fault) platform.Disposition {
		as.Apply(tk.Context, []platform.Op{{Kind: platform.Map, Addr: scratch, Length: 0x1000, Prot: unix.PROT_READ, FD: g.fd}})
		return platform.Resume
	}
	child := func(as platform.AddressSpace, ip uint64) {
		c := g.newTask()
		c.State().SetIP(ip)
		c.death = func() {}
		if c.Start(as) == nil {
			offspring = append(offspring, c)
		}
	}
	var spaces []platform.AddressSpace
	tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
		tk.State().SetReturn(0)
		switch nr {
		case unix.SYS_FORK:
			if forked, err := as.Fork(tk.Context, nil); err == nil {
				spaces = append(spaces, forked)
				child(forked, textAddr+thread)
			}
		case unix.SYS_CLONE:
			child(as, textAddr+thread)
		case unix.SYS_EXECVE:
			if next := space(); next != nil {
				tk.State().SetIP(textAddr + thread)
				tk.SetAddressSpace(next)
				spaces = append(spaces, next)
			}
		}
		return platform.Resume
	}
	if tk.Start(as) == nil {
		tk.wait()
	}
	for _, c := range offspring {
		c.wait()
	}
	as.Release()
	for _, s := range spaces {
		s.Release()
	}
}
