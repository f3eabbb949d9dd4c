//go:build amd64

package systrap

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"casemate/platform"

	"golang.org/x/sys/unix"
)

// Thousands of contexts in one address space, all alive at a time.
func TestManyThreads(t *testing.T) {
	const count = 2000
	p := open(t)
	text := new(code).call(unix.SYS_READ).call(unix.SYS_MUNMAP).exit(ax)
	g := newGuest(t, p, text)
	release := make(chan struct{})
	arrived := make(chan struct{}, count)
	var tasks []*task
	for i := range uint64(count) {
		tk := g.newTask()
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			if nr == unix.SYS_READ {
				arrived <- struct{}{}
				tk.Blocking()
				<-release
			}
			tk.State().SetReturn(i)
			return platform.Resume
		}
		tasks = append(tasks, tk.start(g.as))
	}
	for range count {
		<-arrived
	}
	close(release)
	for i, tk := range tasks {
		if tk.wait(); tk.died || tk.code != uint64(i) {
			t.Fatalf("context %d: died %v, code %d", i, tk.died, tk.code)
		}
	}
}

// A process of a thousand contexts is killed: those in upcalls are told, those that run
// die, and one that computes can be interrupted before.
func TestKillManyThreads(t *testing.T) {
	const count, running = 1000, 3
	p := open(t)
	text := new(code).call(unix.SYS_READ)
	loop := text.here()
	text.jmp(loop)
	g := newGuest(t, p, text)
	killed := make(chan struct{})
	arrived, told := make(chan struct{}, count), make(chan struct{}, count)
	var tasks []*task
	for i := range count {
		tk := g.newTask()
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			arrived <- struct{}{}
			if i >= running {
				tk.Blocking()
				<-killed
			}
			return platform.Resume
		}
		tk.kill = func() { told <- struct{}{} }
		tasks = append(tasks, tk.start(g.as))
	}
	for range count {
		soon(t, arrived, "all contexts in upcalls")
	}
	interrupted := make(chan struct{})
	tasks[0].interrupt = func(*task) platform.Disposition {
		if tasks[0].ints.Load() == 1 {
			close(interrupted)
		}
		return platform.Resume
	}
	tasks[0].Interrupt()
	soon(t, interrupted, "interrupt")
	g.as.(*space).proc.kill()
	for range count - running {
		soon(t, told, "HandleKill")
	}
	close(killed)
	for i, tk := range tasks {
		if tk.wait(); !tk.died {
			t.Errorf("context %d has survived", i)
		}
	}
	healthy(t, p)
}

// Hundreds of address spaces with two contexts each, and forks of them.
func TestManyAddressSpaces(t *testing.T) {
	p := open(t)
	text := new(code).call(unix.SYS_READ).call(unix.SYS_MUNMAP).exit(ax)
	var tasks []*task
	add := func(g *guest, as platform.AddressSpace) {
		tk := g.newTask()
		i := uint64(len(tasks))
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			tk.State().SetReturn(i)
			return platform.Resume
		}
		tasks = append(tasks, tk.start(as))
	}
	for range 150 {
		g := newGuest(t, p, text)
		add(g, g.as)
		add(g, g.as)
		as, err := g.as.Fork(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(as.Release)
		add(g, as)
	}
	for i, tk := range tasks {
		if tk.wait(); tk.died || tk.code != uint64(i) {
			t.Fatalf("context %d: died %v, code %d", i, tk.died, tk.code)
		}
	}
}

func descriptors(t *testing.T) string {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		if to, err := os.Readlink(filepath.Join("/proc/self/fd", e.Name())); err == nil && !strings.HasPrefix(to, "/proc") {
			names = append(names, to)
		}
	}
	return strings.Join(names, "\n")
}

func children(t *testing.T) string {
	entries, err := os.ReadDir("/proc/self/task")
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for _, e := range entries {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/self/task/%s/children", e.Name()))
		all += string(b)
	}
	return all
}

// Nothing is left after Close: no process, no descriptor, no mapping.
func TestClose(t *testing.T) {
	fds, procs := descriptors(t), children(t)
	for range 5 {
		p, err := Open(platform.Options{FullStateSyscalls: fullState})
		if err != nil {
			t.Fatal(err)
		}
		text := new(code).call(unix.SYS_READ).call(unix.SYS_MUNMAP)
		loop := text.here()
		text.jmp(loop)
		g := &guest{t: t, p: p.(*Platform)}
		g.fd, g.mem, _ = sharedFile("guest", 2*guestSize)
		copy(g.mem, *text)
		g.as, _ = p.NewAddressSpace(nil)
		g.apply(g.as, nil)
		as, err := g.as.Fork(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		a, b := g.newTask().start(g.as), g.newTask().start(g.as)
		g.as.Release()
		as.Release()
		a.wait()
		b.wait()
		unix.Munmap(g.mem)
		unix.Close(g.fd)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	}
	if after := descriptors(t); after != fds {
		t.Errorf("descriptors before\n%s\nafter\n%s", fds, after)
	}
	if after := children(t); after != procs {
		t.Errorf("children before %s, after %s", procs, after)
	}
	if maps, _ := os.ReadFile("/proc/self/maps"); strings.Contains(string(maps), "memfd:systrap") {
		t.Errorf("mappings:\n%s", maps)
	}
}

// The stubs end with the process that has opened the platform.
func TestParentDies(t *testing.T) {
	if os.Getenv("SYSTRAP_TEST_PARENT") != "" {
		p := open(t)
		text := new(code)
		text.jmp(0)
		g := newGuest(t, p, text)
		g.newTask().start(g.as)
		fmt.Println("stub", g.as.(*space).proc.pid)
		unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	proc, err := os.StartProcess("/proc/self/exe", []string{"test", "-test.run=^TestParentDies$"},
		&os.ProcAttr{Env: append(os.Environ(), "SYSTRAP_TEST_PARENT=1"), Files: []*os.File{nil, w, os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	proc.Wait()
	var pid int
	if _, err := fmt.Fscanf(r, "stub %d", &pid); err != nil {
		t.Fatal(err)
	}
	r.Close()
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		state, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(state), ") Z ") {
			return
		}
		if time.Now().After(end) {
			unix.Kill(pid, unix.SIGKILL)
			t.Fatalf("stub %d lives on: %s", pid, state)
		}
	}
}

// Fork by a thread whose area is not in the first chunk, with others that run or
// are in upcalls; and forks of the child.
func TestForkThreads(t *testing.T) {
	const count = 70
	p := open(t)
	text := new(code).call(unix.SYS_FORK).call(unix.SYS_MUNMAP).exit(ax)
	other := text.here()
	text.call(unix.SYS_READ)
	spin := text.here()
	text.jmp(spin)
	g := newGuest(t, p, text)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	for i := range count {
		tk := g.newTask()
		tk.State().SetIP(textAddr + uint64(other))
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			if i > 0 {
				tk.Blocking()
				<-release
			}
			return platform.Resume
		}
		tk.start(g.as)
	}
	forker := func(as platform.AddressSpace, children chan platform.AddressSpace) *task {
		tk := g.newTask()
		tk.syscall = func(tk *task, nr uint64, args [6]uint64) platform.Disposition {
			if nr == unix.SYS_FORK {
				child, err := as.Fork(tk.Context, nil)
				if err != nil {
					t.Error(err)
				}
				children <- child
			}
			tk.State().SetReturn(nr)
			return platform.Resume
		}
		return tk.start(as)
	}
	as := g.as
	for depth := range 3 {
		children := make(chan platform.AddressSpace, 1)
		tk := forker(as, children)
		if slot := tk.Context.(*context).t.Load().slot; depth == 0 && slot < chunkSlots {
			t.Errorf("slot %d", slot)
		}
		if tk.wait(); tk.died || tk.code != unix.SYS_MUNMAP {
			t.Fatalf("depth %d: died %v, code %d, faults %+v", depth, tk.died, tk.code, tk.faults)
		}
		as = <-children
		t.Cleanup(as.Release)
	}
}
