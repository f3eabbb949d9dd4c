package loader

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// A dump is the initial stack of a process.
type dump struct {
	SP, End uint64
	Stack   string // hexadecimal, from SP to End
	Stat    []string
	Auxv    string
}

// dumpStack prints the dump of this process.
func dumpStack() {
	var d dump
	stat, _ := os.ReadFile("/proc/self/stat")
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	d.Stat = strings.Fields(string(rest))
	d.SP, _ = strconv.ParseUint(d.Stat[28-3], 10, 64)
	maps, _ := os.Open("/proc/self/maps")
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		if strings.HasSuffix(lines.Text(), "[stack]") {
			fmt.Sscanf(lines.Text()[strings.IndexByte(lines.Text(), '-')+1:], "%x", &d.End)
		}
	}
	mem, _ := os.Open("/proc/self/mem")
	b := make([]byte, d.End-d.SP)
	mem.ReadAt(b, int64(d.SP))
	d.Stack = hex.EncodeToString(b)
	aux, _ := os.ReadFile("/proc/self/auxv")
	d.Auxv = hex.EncodeToString(aux)
	json.NewEncoder(os.Stdout).Encode(&d)
}

// entries reads an auxiliary vector.
func entries(b []byte) (list [][2]uint64) {
	for ; len(b) >= auxEntrySize; b = b[auxEntrySize:] {
		e := [2]uint64{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}
		if list = append(list, e); e[0] == atNull {
			break
		}
	}
	return list
}

// TestStackAsLinux compares the stack that the loader makes for this binary with
// the one that the host's kernel has made.
func TestStackAsLinux(t *testing.T) {
	if runtime.GOARCH != "amd64" {
		t.Skip("compares with amd64's kernel")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	argv := []string{"zero", "", "two two", strings.Repeat("x", 5000)}
	envp := []string{childEnv + "=" + childStack, "EMPTY=", "A=b"}
	out, err := (&exec.Cmd{Path: self, Args: argv, Env: envp}).Output()
	if err != nil {
		t.Fatal(err)
	}
	var d dump
	if err := json.Unmarshal(out, &d); err != nil {
		t.Fatal(err)
	}
	want, _ := hex.DecodeString(d.Stack)
	hostAux, _ := hex.DecodeString(d.Auxv)
	aux := make(map[uint64]uint64)
	for _, e := range entries(hostAux) {
		aux[e[0]] = e[1]
	}

	f, err := hostOpen(self)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Open(f, self, argv, envp, 8<<20, hostOpen)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Release()
	o := testOptions()
	o.StackTop = d.End
	o.UID, o.EUID, o.GID, o.EGID = uint32(aux[atUID]), uint32(aux[atEUID]), uint32(aux[atGID]), uint32(aux[atEGID])
	copy(o.Random[:], want[aux[atRandom]-d.SP:])
	// The kernel's random shift of the stack pointer is in whole units of the
	// alignment.
	stat := func(field int) uint64 {
		v, _ := strconv.ParseUint(d.Stat[field-3], 10, 64)
		return v
	}
	argStart := stat(48)
	aligned := aux[atPlatform] + uint64(len(platformName)) + 1
	o.StackRandom = argStart - aligned
	m := newMemory(&o)
	m.vdso = aux[atSysinfoEhdr]
	im, err := p.Load(m, o)
	if err != nil {
		t.Fatal(err)
	}

	// Linux has entries that the loader leaves out (AT_RSEQ_*), so that the
	// vectors begin lower.
	var list [][2]uint64
	for _, e := range entries(hostAux) {
		if e[0] != 27 && e[0] != 28 {
			list = append(list, e)
		}
	}
	got := entries(im.Auxv)
	if len(got) != len(list) {
		t.Errorf("auxiliary vectors are %v, want %v", got, list)
	} else {
		for i, e := range got {
			switch e[0] {
			case atPhdr, atEntry, atBase: // depend on where files are loaded
				if e[0] == list[i][0] && e[1]&0xfff == list[i][1]&0xfff {
					continue
				}
			}
			if e != list[i] {
				t.Errorf("auxiliary vector entry %d is %v, want %v", i, e, list[i])
			}
		}
	}
	strs := min(aux[atRandom], im.SP+o.StackTop)
	if a, b := m.read(t, strs, d.End-strs), want[strs-d.SP:]; !bytes.Equal(a, b) {
		t.Errorf("strings differ: %q, want %q", a, b)
	}
	vectors := uint64(1+len(argv)+1+len(envp)+1) * pointerSize
	if a, b := m.read(t, im.SP, vectors), want[:vectors]; !bytes.Equal(a, b) {
		t.Errorf("vectors differ: % x, want % x", a, b)
	}
	if im.SP%16 != 0 || d.SP%16 != 0 {
		t.Errorf("stack pointers %#x and %#x", im.SP, d.SP)
	}
	if !bytes.Equal(m.read(t, im.SP+vectors, uint64(len(im.Auxv))), im.Auxv) {
		t.Error("the auxiliary vector is not on the stack")
	}
	for _, c := range []struct {
		name string
		got  uint64
		want uint64
	}{
		{"arg_start", im.ArgStart, argStart},
		{"arg_end", im.ArgEnd, stat(49)},
		{"env_start", im.EnvStart, stat(50)},
		{"env_end", im.EnvEnd, stat(51)},
		{"startcode", im.StartCode, stat(26)},
		{"endcode", im.EndCode, stat(27)},
		{"start_data", im.StartData, stat(45)},
		{"end_data", im.EndData, stat(46)},
	} {
		if c.got != c.want {
			t.Errorf("%s is %#x, want %#x", c.name, c.got, c.want)
		}
	}
}
