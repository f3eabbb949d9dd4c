package vdso

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

const childEnv = "VDSO_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		fmt.Printf("clock 0 %d.%09d\n", time.Now().Unix(), time.Now().Nanosecond())
		return
	}
	os.Exit(m.Run())
}

// TestSymbols looks at the image with other eyes.
func TestSymbols(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(Image()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_DYN || f.Machine != elf.EM_X86_64 {
		t.Errorf("type %v, machine %v", f.Type, f.Machine)
	}
	for _, name := range []string{"clock_gettime", "gettimeofday", "time", "clock_getres", "getcpu"} {
		a, ok1 := lookup(t, Image(), "__vdso_"+name, "LINUX_2.6")
		b, ok2 := lookup(t, Image(), name, "LINUX_2.6")
		if !ok1 || !ok2 || a != b || a%textAlign != 0 {
			t.Errorf("%s: %#x, %v and %#x, %v", name, a, ok1, b, ok2)
		}
		if _, ok := lookup(t, Image(), name, "LINUX_2.5"); ok {
			t.Errorf("%s has another version too", name)
		}
	}
	if _, ok := lookup(t, Image(), "__vdso_getrandom", "LINUX_2.6"); ok {
		t.Error("a symbol is found that does not exist")
	}
}

// lookup finds a symbol by DT_HASH, as vDSO parsers of small C libraries do.
func lookup(t *testing.T, image []byte, name, version string) (uint64, bool) {
	t.Helper()
	le := binary.LittleEndian
	dyn := make(map[uint64]uint64)
	for i := range int(le.Uint16(image[56:])) {
		p := image[64+56*i:]
		if le.Uint32(p) != unix.PT_DYNAMIC {
			continue
		}
		for d := image[le.Uint64(p[8:]):]; le.Uint64(d) != 0; d = d[16:] {
			dyn[le.Uint64(d)] = le.Uint64(d[8:])
		}
	}
	str := func(off uint32) string {
		s, _, _ := bytes.Cut(image[dyn[unix.DT_STRTAB]+uint64(off):], []byte{0})
		return string(s)
	}
	versions := make(map[uint16]string)
	for d := image[dyn[unix.DT_VERDEF]:]; ; d = d[le.Uint32(d[16:]):] {
		versions[le.Uint16(d[4:])] = str(le.Uint32(d[le.Uint32(d[12:]):]))
		if le.Uint32(d[16:]) == 0 {
			break
		}
	}
	hash := image[dyn[unix.DT_HASH]:]
	nbucket := le.Uint32(hash)
	word := func(i uint32) uint32 { return le.Uint32(hash[4*i:]) }
	for i := word(2 + elfHash(name)%nbucket); i != 0; i = word(2 + nbucket + i) {
		sym := image[dyn[unix.DT_SYMTAB]+symSize*uint64(i):]
		if str(le.Uint32(sym)) == name && versions[le.Uint16(image[dyn[unix.DT_VERSYM]+2*uint64(i):])] == version {
			return le.Uint64(sym[8:]), true
		}
	}
	return 0, false
}

// compile makes a program of testdata.
func compile(t *testing.T, source string, flags ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no C compiler")
	}
	path := filepath.Join(t.TempDir(), "program")
	args := append([]string{"-O2", "-o", path, filepath.Join("testdata", source)}, flags...)
	if out, err := exec.Command(cc, args...).CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, out)
	}
	return path
}

// shared returns memory with room for the page of parameters, followed by the
// image, and its descriptor.
func shared(t *testing.T) ([]byte, *os.File) {
	t.Helper()
	fd, err := unix.MemfdCreate("vdso", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	f := os.NewFile(uintptr(fd), "vdso")
	size := ParamsSize + len(Image())
	if err := f.Truncate(int64(size)); err != nil {
		t.Fatal(err)
	}
	mem, err := unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	copy(mem[ParamsSize:], Image())
	t.Cleanup(func() {
		unix.Munmap(mem)
		f.Close()
	})
	return mem, f
}

// run runs a program of the host with the image in f for its vDSO: it is stopped
// before its first instruction, made to map f, and its auxiliary vector is changed.
func run(t *testing.T, f *os.File, size int, path string, env ...string) string {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var out bytes.Buffer
	cmd := exec.Cmd{Path: path, Args: []string{path}, Env: append([]string{"LD_BIND_NOW=1"}, env...), ExtraFiles: []*os.File{f},
		Stdout: &out, Stderr: &out, SysProcAttr: &unix.SysProcAttr{Ptrace: true}}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := cmd.Process.Pid
	must := func(err error) {
		t.Helper()
		if err != nil {
			cmd.Process.Kill()
			t.Fatal(err)
		}
	}
	var ws unix.WaitStatus
	_, err := unix.Wait4(pid, &ws, 0, nil)
	must(err)

	var regs unix.PtraceRegs
	must(unix.PtraceGetRegs(pid, &regs))
	peek := func(addr uint64) uint64 {
		t.Helper()
		var b [8]byte
		_, err := unix.PtracePeekData(pid, uintptr(addr), b[:])
		must(err)
		return binary.LittleEndian.Uint64(b[:])
	}
	poke := func(addr uint64, b []byte) {
		t.Helper()
		_, err := unix.PtracePokeData(pid, uintptr(addr), b)
		must(err)
	}
	word := func(v uint64) []byte { return binary.LittleEndian.AppendUint64(nil, v) }
	text := peek(regs.Rip)
	poke(regs.Rip, []byte{0x0f, 0x05, 0xcc, 0, 0, 0, 0, 0})
	call := func(nr uint64, a ...uint64) uint64 {
		t.Helper()
		r := regs
		a = append(a, 0, 0, 0, 0, 0, 0)
		r.Rax, r.Orig_rax = nr, ^uint64(0)
		r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9 = a[0], a[1], a[2], a[3], a[4], a[5]
		must(unix.PtraceSetRegs(pid, &r))
		must(unix.PtraceCont(pid, 0))
		_, err := unix.Wait4(pid, &ws, 0, nil)
		must(err)
		must(unix.PtraceGetRegs(pid, &r))
		if int64(r.Rax) < 0 && int64(r.Rax) > -4096 {
			must(unix.Errno(-int64(r.Rax)))
		}
		return r.Rax
	}
	at := call(unix.SYS_MMAP, 0, uint64(size), unix.PROT_READ, unix.MAP_SHARED, 3, 0)
	call(unix.SYS_MPROTECT, at+ParamsSize, uint64(size)-ParamsSize, unix.PROT_READ|unix.PROT_EXEC)
	poke(regs.Rip, word(text))
	must(unix.PtraceSetRegs(pid, &regs))

	p := regs.Rsp + 8*(peek(regs.Rsp)+2) // behind argc, the arguments and their NULL
	for peek(p) != 0 {
		p += 8
	}
	const atSysinfoEhdr = 33
	for p += 8; peek(p) != atSysinfoEhdr; p += 16 {
		if peek(p) == 0 {
			t.Fatal("no AT_SYSINFO_EHDR")
		}
	}
	poke(p+8, word(at+ParamsSize))
	must(unix.PtraceDetach(pid))
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, out.String())
	}
	return out.String()
}

// TestProgramsUseIt gives programs a page with times that no real clock shows.
func TestProgramsUseIt(t *testing.T) {
	mem, f := shared(t)
	s := &snapshot{base: rdtsc(), maxDelta: 1 << 62}
	var want strings.Builder
	for id := range int32(clockCount) {
		if !served(id) {
			continue
		}
		s.which[id] = rateMono
		if id == unix.CLOCK_MONOTONIC_RAW {
			s.which[id] = rateRaw
		}
		// A rate of 0: time stands still.
		sec, nsec := 4e9+1000*int64(id), 123456789+int64(id)
		s.ns[id] = sec*nsPerSec + nsec
		fmt.Fprintf(&want, "clock %d %d.%09d\n", id, sec, nsec)
		res, err := hostClocks{}.resolution(id)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "res %d 0.%09d\n", id, res)
	}
	want.WriteString("gettimeofday 4000000000.123456\ntime 4000000000\n")
	pg := newPage(mem)
	pg.setResolutions(hostClocks{})
	pg.write(s)

	for _, cpus := range []int{0, 1024} {
		pg.setCPUs(cpus)
		if got := run(t, f, len(mem), compile(t, "read.c", "-static", "-DSTATIC")); got != want.String() {
			t.Errorf("static program: got\n%s\nwant\n%s", got, want.String())
		}
		if got := run(t, f, len(mem), compile(t, "read.c", "-ldl")); got != want.String()+"dlvsym 4000000000\n" {
			t.Errorf("dynamic program: got\n%s\nwant\n%s", got, want.String())
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if got, want := run(t, f, len(mem), self, childEnv+"=1"), "clock 0 4000000000.123456789\n"; got != want {
		t.Errorf("Go program: got %q, want %q", got, want)
	}

	// Two seconds in nanoseconds; a clock that is being written; the end of what
	// the parameters are good for.
	s.ns[0] += 2*nsPerSec - nsPerSec/2
	pg.write(s)
	newPage(mem).p.clocks[0].nsec += 2 * nsPerSec
	if got := run(t, f, len(mem), self, childEnv+"=1"); got != "clock 0 4000000003.623456789\n" {
		t.Errorf("carry: got %q", got)
	}
	for name, spoil := range map[string]func(){
		"written":  func() { newPage(mem).p.seq++ },
		"past":     func() { s.maxDelta, s.base = 1000, rdtsc()-1e6; pg.write(s) },
		"future":   func() { s.maxDelta, s.base = 1000, rdtsc()+1e15; pg.write(s) },
		"no clock": func() { s.maxDelta, s.which[0] = 1<<62, rateNone; pg.write(s) },
	} {
		spoil()
		got := run(t, f, len(mem), self, childEnv+"=1")
		if strings.HasPrefix(got, "clock 0 4") {
			t.Errorf("%s: got %q", name, got)
		}
		if name == "written" {
			newPage(mem).p.seq++
		}
	}
}

// TestAgreesWithKernel runs a program that compares the clocks while the page is
// kept up.
func TestAgreesWithKernel(t *testing.T) {
	if why := (hostClocks{}).unusable(); why != "" {
		t.Skip(why)
	}
	mem, f := shared(t)
	p := NewParams(mem, Options{Log: t.Logf})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			p.Now(unix.CLOCK_MONOTONIC)
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	for _, flags := range [][]string{{"-static"}, nil} {
		if got := run(t, f, len(mem), compile(t, "compare.c", flags...)); got != "ok\n" {
			t.Error(got)
		}
	}
	close(stop)
	<-stopped
}

// TestImageSize: the image and its page are small.
func TestImageSize(t *testing.T) {
	if n := len(Image()); n == 0 || n%arch.PageSize != 0 || n > 2*arch.PageSize {
		t.Errorf("image has %d bytes", n)
	}
}
