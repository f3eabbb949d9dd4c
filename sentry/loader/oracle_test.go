package loader

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// Values of childEnv: what this binary does when it is executed as a child.
const (
	childEnv   = "LOADER_TEST_CHILD"
	childArgs  = "args"  // prints its arguments
	childStack = "stack" // prints its stack
)

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case childArgs:
		json.NewEncoder(os.Stdout).Encode(os.Args)
	case childStack:
		dumpStack()
	default:
		os.Exit(m.Run())
	}
}

// hostFile is a File of the host.
type hostFile struct{ *os.File }

func (f hostFile) DecRef() { f.Close() }

func hostOpen(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errors.Unwrap(err)
	}
	if i, err := f.Stat(); err != nil || !i.Mode().IsRegular() {
		f.Close()
		return nil, unix.EACCES
	}
	return hostFile{f}, nil
}

// write puts an executable file into the test's directory.
func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// onHost executes the file and says how that went: "ok", an errno, or "killed".
func onHost(path string) string {
	cmd := exec.Command(path)
	err := cmd.Run()
	var errno syscall.Errno
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &exit):
		if exit.Sys().(syscall.WaitStatus).Signaled() {
			return "killed"
		}
		return err.Error()
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// byLoader does the same with the loader. The entry must lie in something
// executable.
func byLoader(t *testing.T, path string) string {
	f, err := hostOpen(path)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(f, path, []string{path}, nil, 8<<20, hostOpen)
	if err != nil {
		return unix.ErrnoName(err.(unix.Errno))
	}
	defer p.Release()
	o := testOptions()
	m := newMemory(&o)
	im, err := p.Load(m, o)
	if err != nil {
		return "killed"
	}
	pg := m.pages[im.Entry&^0xfff]
	if pg == nil || pg.prot&unix.PROT_EXEC == 0 {
		return "killed"
	}
	return "ok"
}

// TestELFAsLinux executes spoilt files.
func TestELFAsLinux(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for amd64")
	}
	dir := t.TempDir()
	interp := write(t, dir, "interp", pieImage().bytes())
	dynamic := func() *image { return pieImage().withInterp(interp) }
	load := func(vaddr, offset, filesz, memsz uint64, flags uint32) phdr {
		return phdr{typ: unix.PT_LOAD, flags: flags, vaddr: vaddr, offset: offset, filesz: filesz, memsz: memsz, align: 0x1000}
	}
	for _, c := range []struct {
		name string
		i    *image
		edit func(i *image)
	}{
		{"static", staticImage(), func(i *image) {}},
		{"static-pie", pieImage(), func(i *image) {}},
		{"dynamic", dynamic(), func(i *image) {}},
		{"dynamic, fixed", staticImage().withInterp(interp), func(i *image) {}},
		{"empty file", staticImage(), func(i *image) { i.size = 1 }},
		{"header cut", staticImage(), func(i *image) { i.size = 63 }},
		{"magic", staticImage(), func(i *image) { i.ident = []byte("\x7fELG") }},
		{"class 32", staticImage(), func(i *image) { i.ident = []byte("\x7fELF\x01\x01\x01") }},
		{"relocatable", staticImage(), func(i *image) { i.typ = 1 }},
		{"core", staticImage(), func(i *image) { i.typ = 4 }},
		{"i386", staticImage(), func(i *image) { i.machine = unix.EM_386 }},
		{"arm", staticImage(), func(i *image) { i.machine = unix.EM_AARCH64 }},
		{"phentsize", staticImage(), func(i *image) { i.phentsize = 32 }},
		{"no phdrs", staticImage(), func(i *image) { i.phnum = 0 }},
		{"1170 phdrs", staticImage(), func(i *image) { i.phnum = 1170 }},
		{"1171 phdrs", staticImage(), func(i *image) { i.phnum = 1171 }},
		{"phoff past the end", staticImage(), func(i *image) { i.phoff = 1 << 20 }},
		{"phoff huge", staticImage(), func(i *image) { i.phoff = 1<<64 - 8 }},
		{"interp empty", dynamic(), func(i *image) { i.phdrs[1].filesz = 1 }},
		{"interp not terminated", dynamic(), func(i *image) { i.phdrs[1].filesz-- }},
		{"interp too long", dynamic(), func(i *image) { i.phdrs[1].filesz = 4097 }},
		{"interp 4096", dynamic(), func(i *image) { i.phdrs[1].filesz = 4096; i.phdrs[1].offset = 0 }},
		{"interp past the end", dynamic(), func(i *image) { i.phdrs[1].offset = 1 << 20 }},
		{"interp offset negative", dynamic(), func(i *image) { i.phdrs[1].offset = 1<<64 - 100 }},
		{"interp missing", pieImage().withInterp("/no/such/file"), func(i *image) {}},
		{"interp not regular", pieImage().withInterp("/dev/null"), func(i *image) {}},
		{"interp short", pieImage().withInterp(write(t, dir, "short", []byte("\x7fELF"))), func(i *image) {}},
		{"interp script", pieImage().withInterp(write(t, dir, "script", append([]byte("#!/bin/sh\n"), make([]byte, 100)...))), func(i *image) {}},
		{"interp i386", pieImage().withInterp(write(t, dir, "i386", func() []byte { i := pieImage(); i.machine = unix.EM_386; return i.bytes() }())), func(i *image) {}},
		{"interp relocatable", pieImage().withInterp(write(t, dir, "rel", func() []byte { i := pieImage(); i.typ = 1; return i.bytes() }())), func(i *image) {}},
		{"interp no phdrs", pieImage().withInterp(write(t, dir, "nophdrs", func() []byte { i := pieImage(); i.phnum = 0; return i.bytes() }())), func(i *image) {}},
		{"interp without segments", pieImage().withInterp(write(t, dir, "nosegs", func() []byte { i := pieImage(); i.phdrs[0].typ = 0; return i.bytes() }())), func(i *image) {}},
		{"interp fixed", pieImage().withInterp(write(t, dir, "fixed", staticImage().bytes())), func(i *image) {}},
		{"two interps", dynamic(), func(i *image) {
			i.phdrs = append(i.phdrs, phdr{typ: unix.PT_INTERP, filesz: 1, memsz: 1})
		}},
		{"filesz > memsz", staticImage(), func(i *image) { i.phdrs[0].memsz = 0x1800 }},
		{"memsz huge", staticImage(), func(i *image) { i.phdrs[0].memsz = 1 << 47 }},
		{"memsz wraps", staticImage(), func(i *image) { i.phdrs[0].memsz = 1<<64 - 0x1000 }},
		{"vaddr in the kernel", staticImage(), func(i *image) { i.phdrs[0].vaddr = 0xffffffff80000000 }},
		{"misaligned offset", staticImage(), func(i *image) { i.phdrs[0].offset = 0x10; i.phdrs[0].filesz = 0x100 }},
		{"vaddr in page, offset 0", staticImage(), func(i *image) { i.phdrs[0].vaddr += 0x10 }},
		{"same misalignment", staticImage(), func(i *image) {
			i.phdrs[0] = load(baseAddr+0x1000, 0x1000, 0x100, 0x100, unix.PF_R|unix.PF_X)
		}},
		{"filesz past the end of the file", staticImage(), func(i *image) { i.phdrs[0].filesz = 0x5000; i.phdrs[0].memsz = 0x5000 }},
		{"filesz huge", staticImage(), func(i *image) { i.phdrs[0].filesz = 1 << 47; i.phdrs[0].memsz = 1 << 47 }},
		{"offset huge", staticImage(), func(i *image) { i.phdrs[0].offset = 1<<64 - 0x1000 }},
		{"two segments at one place", staticImage(), func(i *image) { i.phdrs = append(i.phdrs, i.phdrs[0]) }},
		{"bss", staticImage(), func(i *image) {
			i.phdrs = append(i.phdrs, load(baseAddr+0x11000, 0x1000, 0x10, 0x5000, unix.PF_R|unix.PF_W))
		}},
		{"bss in a read-only segment", staticImage(), func(i *image) {
			i.phdrs = append(i.phdrs, load(baseAddr+0x11000, 0x1000, 0x10, 0x5000, unix.PF_R))
		}},
		{"bss only", staticImage(), func(i *image) {
			i.phdrs = append(i.phdrs, load(baseAddr+0x11010, 0, 0, 0x5000, unix.PF_R|unix.PF_W))
		}},
		{"bss only, misaligned offset", staticImage(), func(i *image) {
			i.phdrs = append(i.phdrs, load(baseAddr+0x11010, 0x123, 0, 0x5000, unix.PF_R|unix.PF_W))
		}},
		{"no segments", staticImage(), func(i *image) { i.phdrs[0].typ = 0 }},
		{"segment without permissions", staticImage(), func(i *image) { i.phdrs[0].flags = 0 }},
		{"entry in the kernel", staticImage(), func(i *image) { i.entry = 1 << 63 }},
		{"entry nowhere", staticImage(), func(i *image) { i.entry = 0x10 }},
		{"pie, aligned 2 MiB", pieImage(), func(i *image) { i.phdrs[0].align = 2 << 20 }},
		{"pie, alignment no power of two", pieImage(), func(i *image) { i.phdrs[0].align = 12345 }},
		{"dynamic, aligned 2 MiB", dynamic(), func(i *image) { i.phdrs[0].align = 2 << 20 }},
		{"pie, vaddr not 0", pieImage(), func(i *image) { i.phdrs[0].vaddr = 0x5000; i.entry += 0x5000 }},
		{"pie, range wraps", pieImage(), func(i *image) {
			i.phdrs = append(i.phdrs, load(1<<64-0x2000, 0, 0x1000, 0x1000, unix.PF_R))
		}},
	} {
		c.edit(c.i)
		path := write(t, dir, "program", c.i.bytes())
		if want, got := onHost(path), byLoader(t, path); got != want {
			t.Errorf("%s: loader says %s, Linux %s", c.name, got, want)
		}
		os.Remove(path)
	}
}

// TestScriptsAsLinux executes scripts whose interpreter prints its arguments.
func TestScriptsAsLinux(t *testing.T) {
	const self = "/proc/self/exe"
	t.Setenv(childEnv, childArgs)
	dir := t.TempDir()
	long := self + strings.Repeat(" ", 253-len(self)) // the name ends at byte 255
	padded := func(n int) string { return strings.Repeat("/", n-len(self)+1) + self[1:] }
	for _, script := range []string{
		"#!" + self,
		"#!" + self + "\n",
		"#! \t " + self + " \t\n",
		"#!" + self + " arg\nrest",
		"#!" + self + " two args\t \n",
		"#!" + self + " ",
		"#!" + self + "\t",
		"#!" + self + " arg",
		"#!" + self + " a\x00b\n",
		"#!" + self + "\x00b c\n",
		"#!" + self + "\r\n",
		"#!", "#!\n", "#! \t\n", "#!  ", "#!\x00", "# !" + self, "#", "",
		"#!" + self + " " + strings.Repeat("x", 300) + "\n",
		"#!" + long + " x\n",
		"#!" + long + "xyz\n",
		"#!" + padded(252) + "\n",
		"#!" + padded(253) + "\n",
		"#!" + padded(253) + " x\n",
		"#!" + padded(254) + "\n",
		"#!" + padded(254) + " x\n",
		"#!" + padded(255) + "\n",
		"#!" + padded(300) + "\n",
		"#!" + strings.Repeat(" ", 300) + self + "\n",
		"#!" + strings.Repeat(" ", 240) + self + "\n",
		"#!/no/such/file\n",
		"#!" + dir + "\n",
	} {
		path := write(t, dir, "script", []byte(script))
		var out bytes.Buffer
		cmd := exec.Cmd{Path: path, Args: []string{"zero", "one", "", "two"}, Stdout: &out}
		var want string
		var errno syscall.Errno
		if err := cmd.Run(); errors.As(err, &errno) {
			want = unix.ErrnoName(errno)
		} else if err != nil {
			t.Fatalf("%q: %v", script, err)
		} else {
			want = strings.TrimSpace(out.String())
		}

		f, err := hostOpen(path)
		if err != nil {
			t.Fatal(err)
		}
		var got string
		p, err := Open(f, path, cmd.Args, os.Environ(), 8<<20, hostOpen)
		if err != nil {
			got = unix.ErrnoName(err.(unix.Errno))
		} else {
			b, _ := json.Marshal(p.Argv)
			got = string(b)
			p.Release()
		}
		if got != want {
			t.Errorf("%q: loader says %s, Linux %s", script, got, want)
		}
	}
}

func TestScriptDepthAsLinux(t *testing.T) {
	t.Setenv(childEnv, childArgs)
	dir := t.TempDir()
	interp := "/proc/self/exe"
	for depth := 1; depth <= 7; depth++ {
		path := write(t, dir, fmt.Sprint(depth), []byte("#!"+interp+"\n"))
		want := onHost(path)
		f, err := hostOpen(path)
		if err != nil {
			t.Fatal(err)
		}
		got := "ok"
		if p, err := Open(f, path, []string{"a"}, nil, 8<<20, hostOpen); err != nil {
			got = unix.ErrnoName(err.(unix.Errno))
		} else {
			p.Release()
		}
		if got != want {
			t.Errorf("depth %d: loader says %s, Linux %s", depth, got, want)
		}
		interp = path
	}
}

// TestArgumentLimitsAsLinux finds out whether sizes that are just right or just
// too large are so for both.
func TestArgumentLimitsAsLinux(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("the program is for amd64")
	}
	path := write(t, t.TempDir(), "program", staticImage().bytes())
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_STACK, &limit); err != nil {
		t.Fatal(err)
	}
	room := max(min(maxArgs, limit.Cur/4), argMax)
	fill := func(total uint64, each int) []string {
		var list []string
		for n := uint64(len(path) + 1); n < total; {
			size := min(uint64(each)+pointerSize, total-n)
			if size <= pointerSize {
				break
			}
			list = append(list, strings.Repeat("x", int(size-pointerSize-1)))
			n += size
		}
		return list
	}
	for _, c := range []struct {
		name       string
		argv, envp []string
	}{
		{"longest string", []string{strings.Repeat("a", maxArgStrlen-1)}, nil},
		{"string too long", []string{strings.Repeat("a", maxArgStrlen)}, nil},
		{"longest environment string", []string{"a"}, []string{strings.Repeat("a", maxArgStrlen-1)}},
		{"environment string too long", []string{"a"}, []string{strings.Repeat("a", maxArgStrlen)}},
		{"full", fill(room, 100000), nil},
		{"one byte too many", fill(room+1, 100000), nil},
		{"full, small strings", fill(room, 3), nil},
		{"too many, small strings", fill(room+9, 3), nil},
		{"no arguments", nil, nil},
	} {
		cmd := exec.Cmd{Path: path, Args: c.argv, Env: c.envp}
		if c.envp == nil {
			cmd.Env = []string{}
		}
		want := "ok"
		var errno syscall.Errno
		if err := cmd.Run(); errors.As(err, &errno) {
			want = unix.ErrnoName(errno)
		} else if err != nil {
			t.Fatal(err)
		}
		f, err := hostOpen(path)
		if err != nil {
			t.Fatal(err)
		}
		got := "ok"
		if p, err := Open(f, path, c.argv, c.envp, limit.Cur, noOpen); err != nil {
			got = unix.ErrnoName(err.(unix.Errno))
		} else {
			o := testOptions()
			if _, err := p.Load(newMemory(&o), o); err != nil {
				t.Errorf("%s: Load: %v", c.name, err)
			}
			p.Release()
		}
		if got != want {
			t.Errorf("%s: loader says %s, Linux %s", c.name, got, want)
		}
	}
}
