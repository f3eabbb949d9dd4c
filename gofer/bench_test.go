package gofer

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"
)

func BenchmarkGetattr(b *testing.B) {
	c, _, root, _ := processPair(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Getattr(root.At()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGetattrWork leaves 20 µs of work between two requests.
func BenchmarkGetattrWork(b *testing.B) {
	c, _, root, _ := processPair(b)
	for b.Loop() {
		if _, err := c.Getattr(root.At()); err != nil {
			b.Fatal(err)
		}
		pause(1300)
	}
}

func BenchmarkGetattrParallel(b *testing.B) {
	c, _, root, _ := processPair(b)
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
	c, _, root, _ := processPair(b)
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
	c, dir, root, _ := processPair(b)
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
	c, _, root, _ := processPair(b)
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
	c, dir, root, _ := processPair(b)
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
	conn := startProcess(b, echoEnv, "1", nil)
	buf := make([]byte, 128)
	for b.Loop() {
		if _, err := unix.Write(conn, buf); err != nil {
			b.Fatal(err)
		}
		if _, err := unix.Read(conn, buf); err != nil {
			b.Fatal(err)
		}
	}
	unix.Close(conn)
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
