package gofer

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// serverEnv makes the test binary a server of the tree on descriptor 4 to the
// client on descriptor 3.
const serverEnv = "GOFER_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(serverEnv) == "" {
		os.Exit(m.Run())
	}
	if os.Getenv("GOFER_ECHO") != "" {
		echo()
	}
	s, err := NewServer(3, []Tree{{FD: 4, Connect: true}})
	if err == nil {
		err = s.Serve()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// processPair is dirPair with the server in a process of its own, as it is in
// use.
func processPair(t testing.TB, change func(*syscall.SysProcAttr)) (*Client, string, Node, *os.Process) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.Open(dir)
	check(t, err)
	defer root.Close()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	conn := os.NewFile(uintptr(p[0]), "server's end")
	defer conn.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), serverEnv+"=1")
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = []*os.File{conn, root}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	if change != nil {
		change(cmd.SysProcAttr)
	}
	check(t, cmd.Start())
	conn.Close()
	c, err := Dial(p[1])
	check(t, err)
	t.Cleanup(func() {
		c.Close()
		cmd.Wait()
	})
	r, err := c.Attach(0)
	check(t, err)
	return c, dir, r.Node, cmd.Process
}

func BenchmarkGetattr(b *testing.B) {
	c, _, root, _ := processPair(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Getattr(root.At()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGetattrWork leaves 20 µs of work between two requests.
func BenchmarkGetattrWork(b *testing.B) {
	c, _, root, _ := processPair(b, nil)
	for b.Loop() {
		if _, err := c.Getattr(root.At()); err != nil {
			b.Fatal(err)
		}
		pause(1300)
	}
}

func BenchmarkGetattrParallel(b *testing.B) {
	c, _, root, _ := processPair(b, nil)
	b.SetParallelism(4)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := c.Getattr(root.At()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkWalkMissing(b *testing.B) {
	c, _, root, _ := processPair(b, nil)
	names := []string{"missing"}
	out := make([]Entry, 1)
	b.ReportAllocs()
	for b.Loop() {
		if _, stop, _, err := c.Walk(root, names, false, out); err != nil || stop != StopMissing {
			b.Fatal(stop, err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	c, dir, root, _ := processPair(b, nil)
	write(b, dir+"/f", "x")
	for b.Loop() {
		o, err := c.Open(Target{root, "f"}, unix.O_RDWR)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(o.FD)
		c.Release(o.Node)
	}
}

func BenchmarkCreateUnlink(b *testing.B) {
	c, _, root, _ := processPair(b, nil)
	for b.Loop() {
		o, err := c.Create(root, "f", unix.O_RDWR|unix.O_EXCL, 0o600, 0, 0)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(o.FD)
		c.Release(o.Node)
		if _, err := c.Unlink(root, "f"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReaddir reads a directory of 1,000 entries; per entry divide by
// that.
func BenchmarkReaddir(b *testing.B) {
	c, dir, root, _ := processPair(b, nil)
	for i := range 1000 {
		write(b, fmt.Sprintf("%s/file%d", dir, i), "")
	}
	ents := make([]Dirent, 0, 1000)
	for b.Loop() {
		var cookie uint64
		ents = ents[:0]
		for end := false; !end; {
			var err error
			if ents, cookie, end, err = c.Readdir(root, cookie, 1<<20, ents); err != nil {
				b.Fatal(err)
			}
		}
	}
	if len(ents) != 1000 {
		b.Fatal(len(ents))
	}
}

// BenchmarkSeqpacket is the hand-off alone by messages on a socket, to compare.
func BenchmarkSeqpacket(b *testing.B) {
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(b, err)
	conn := os.NewFile(uintptr(p[0]), "")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), "GOFER_ECHO=1", serverEnv+"=1")
	cmd.ExtraFiles = []*os.File{conn}
	check(b, cmd.Start())
	conn.Close()
	buf := make([]byte, 128)
	for b.Loop() {
		if _, err := unix.Write(p[1], buf); err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Read(p[1], buf); err != nil {
			b.Fatal(err)
		}
	}
	unix.Close(p[1])
	cmd.Wait()
}

func echo() {
	buf := make([]byte, 128)
	for {
		n, err := unix.Read(3, buf)
		if n <= 0 || err != nil {
			os.Exit(0)
		}
		unix.Write(3, buf[:n])
	}
}

// BenchmarkNativeOpen does what BenchmarkOpen does without a gofer.
func BenchmarkNativeOpen(b *testing.B) {
	dir := b.TempDir()
	write(b, dir+"/f", "x")
	for b.Loop() {
		fd, err := unix.Open(dir+"/f", unix.O_RDWR, 0)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
}

// BenchmarkNativeCreateUnlink does what BenchmarkCreateUnlink does without a
// gofer.
func BenchmarkNativeCreateUnlink(b *testing.B) {
	dir := b.TempDir()
	for b.Loop() {
		fd, err := unix.Open(dir+"/f", unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, 0o600)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
		if err := unix.Unlink(dir + "/f"); err != nil {
			b.Fatal(err)
		}
	}
}
