package mm

import (
	"bufio"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// The host kernel is the oracle: the same random calls are made in this process,
// in a range of addresses where nothing else is, and in a MemoryManager; errors
// and the resulting mappings must be the same.

const (
	oracleBase  = 0x100000000000 / 4 // 4 TiB: far from Go's heap and from what the kernel chooses
	oraclePages = 64
)

// hostMaps returns the pages that /proc/self/smaps shows in the oracle's range,
// with the flags that matter.
func hostMaps(t *testing.T) map[uint64]string {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	pages := map[uint64]string{}
	var start, end, off uint64
	for s := bufio.NewScanner(f); s.Scan(); {
		var prot string
		if flags, ok := strings.CutPrefix(s.Text(), "VmFlags: "); ok && end > start {
			for a := start; a < end; a += pageSize {
				for _, f := range strings.Fields(flags) {
					if strings.Contains("lo dc wf dd nr", f) {
						pages[a] += " " + f
					}
				}
			}
			end = 0
		}
		if word, _, _ := strings.Cut(s.Text(), " "); !strings.Contains(word, "-") || strings.HasSuffix(word, ":") {
			continue
		}
		if _, err := fmt.Sscanf(s.Text(), "%x-%x %s %x", &start, &end, &prot, &off); err != nil {
			t.Fatal(err)
		}
		if start >= oracleBase+oraclePages*pageSize || end <= oracleBase {
			end = 0
			continue
		}
		file := strings.Contains(s.Text(), "memfd:host")
		for a := start; a < end; a += pageSize {
			if !file {
				off = a - start
			}
			at := ""
			if file {
				at = fmt.Sprintf("%x", off+a-start)
			}
			pages[a] = prot + at
		}
	}
	return pages
}

// ourMaps is the same of a MemoryManager.
func ourMaps(m *MemoryManager) map[uint64]string {
	pages := map[uint64]string{}
	m.Regions(0, func(r Region) bool {
		prot := []byte("---p")
		for i, c := range "rwx" {
			if r.Prot&(1<<i) != 0 {
				prot[i] = byte(c)
			}
		}
		if r.Shared {
			prot[3] = 's'
		}
		for a := r.Start; a < r.End; a += pageSize {
			at := ""
			if r.File != nil {
				at = fmt.Sprintf("%x", r.Offset+a-r.Start)
			}
			for _, f := range []struct {
				set  bool
				name string
			}{{r.Locked, "lo"}, {r.DontFork, "dc"}, {r.NoReserve, "nr"}, {r.WipeOnFork, "wf"}, {r.DontDump, "dd"}} {
				if f.set {
					at += " " + f.name
				}
			}
			pages[a] = string(prot) + at
		}
		return true
	})
	return pages
}

func errno(err error) unix.Errno {
	if err == nil {
		return 0
	}
	return err.(unix.Errno)
}

func TestRandomCallsDoAsTheHostDoes(t *testing.T) {
	for a := range hostMaps(t) {
		t.Skipf("the address %#x is taken", a)
	}
	mf := newMemfile(t)
	for seed := range int64(12) {
		runOracle(t, newMM(t, mf, Layout{Min: 0x10000, Max: 1<<47 - pageSize, MmapBase: 1 << 46}), seed)
	}
}

func runOracle(t *testing.T, m *MemoryManager, seed int64) {
	rnd := rand.New(rand.NewSource(seed))
	defer unix.RawSyscall(unix.SYS_MUNMAP, oracleBase, 2*oraclePages*pageSize, 0)
	writable := newHostFile(t, 80)
	readOnlyFD, err := unix.Open(fmt.Sprintf("/proc/self/fd/%d", writable.fd), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(readOnlyFD)
	readOnly := &hostFile{t: t, fd: readOnlyFD, size: writable.size, mappings: map[mappingKey]int{}}
	pick := func() (addr, length uint64) {
		first := uint64(rnd.Intn(oraclePages))
		n := uint64(rnd.Intn(12))
		n = min(n, oraclePages-first)
		addr, length = oracleBase+first*pageSize, n*pageSize
		switch rnd.Intn(20) {
		case 0:
			addr += 8
		case 1:
			if length > 100 {
				length -= 100
			}
		case 2:
			length = ^uint64(0) - uint64(rnd.Intn(3))*pageSize
		}
		return addr, length
	}
	prots := []int{0, unix.PROT_READ, rw, rw, rwx, unix.PROT_WRITE, unix.PROT_READ | unix.PROT_EXEC, rw | unix.PROT_GROWSDOWN}
	for step := range 400 {
		addr, length := pick()
		prot := prots[rnd.Intn(len(prots))]
		var what string
		var host, ours unix.Errno
		syscall := func(nr uintptr, a ...uint64) {
			var x [6]uintptr
			for i := range a {
				x[i] = uintptr(a[i])
			}
			_, _, host = unix.RawSyscall6(nr, x[0], x[1], x[2], x[3], x[4], x[5])
		}
		switch rnd.Intn(9) {
		case 0, 1, 2:
			prot &= rwx
			if length > oraclePages*pageSize {
				length &= 0xffff // the host would find no room, or wrap around
			}
			flags := []int{unix.MAP_PRIVATE, unix.MAP_SHARED, unix.MAP_SHARED_VALIDATE, 0, unix.MAP_PRIVATE | unix.MAP_LOCKED}[rnd.Intn(5)]
			flags |= []int{unix.MAP_FIXED, unix.MAP_FIXED, unix.MAP_FIXED_NOREPLACE}[rnd.Intn(3)]
			if addr+length > oracleBase+oraclePages*pageSize {
				continue
			}
			o := MapOptions{Addr: addr, Length: length, Prot: prot, Flags: flags, Limits: NoLimits}
			fd := -1
			switch rnd.Intn(4) {
			case 0:
				fd, o.File, o.Mappable, o.MaxProt = writable.fd, writable, writable, rwx
			case 1:
				fd, o.File, o.Mappable, o.MaxProt = readOnlyFD, readOnly, readOnly, unix.PROT_READ|unix.PROT_EXEC
				if flags&3 != unix.MAP_PRIVATE {
					o.Prot &^= unix.PROT_WRITE // the caller's check
					prot = o.Prot
				}
			default:
				o.Flags |= unix.MAP_ANONYMOUS
			}
			if fd >= 0 {
				o.Offset = uint64(rnd.Intn(10)) * pageSize
			}
			what = fmt.Sprintf("mmap(%#x, %#x, %d, %#x, %d, %#x)", addr, length, prot, o.Flags, fd, o.Offset)
			syscall(unix.SYS_MMAP, addr, length, uint64(prot), uint64(o.Flags), uint64(fd), o.Offset)
			_, err := m.Map(nil, o)
			ours = errno(err)
		case 3:
			what = fmt.Sprintf("munmap(%#x, %#x)", addr, length)
			if length > oraclePages*pageSize && addr%pageSize == 0 && length+pageSize-1 > length {
				continue // do not unmap the test itself
			}
			syscall(unix.SYS_MUNMAP, addr, length)
			ours = errno(m.Unmap(nil, addr, length))
		case 4, 5:
			what = fmt.Sprintf("mprotect(%#x, %#x, %#x)", addr, length, prot)
			if length > oraclePages*pageSize {
				length = ^uint64(0)
			}
			syscall(unix.SYS_MPROTECT, addr, length, uint64(prot))
			ours = errno(m.Protect(nil, addr, length, prot, NoLimits))
		case 6:
			advice := []int{unix.MADV_DONTNEED, unix.MADV_FREE, unix.MADV_WIPEONFORK, unix.MADV_KEEPONFORK, unix.MADV_DONTFORK, unix.MADV_DOFORK,
				unix.MADV_DONTDUMP, unix.MADV_DODUMP, unix.MADV_NORMAL, 77, unix.MADV_POPULATE_READ, unix.MADV_POPULATE_WRITE}[rnd.Intn(12)]
			if length > oraclePages*pageSize {
				length = ^uint64(0)
			}
			what = fmt.Sprintf("madvise(%#x, %#x, %d)", addr, length, advice)
			syscall(unix.SYS_MADVISE, addr, length, uint64(advice))
			ours = errno(m.Advise(nil, addr, length, advice))
		case 7:
			if length > oraclePages*pageSize {
				continue
			}
			switch rnd.Intn(4) {
			case 0:
				what = fmt.Sprintf("mlock(%#x, %#x)", addr, length)
				syscall(unix.SYS_MLOCK, addr, length)
				ours = errno(m.Lock(nil, addr, length, 0, NoLimits))
			case 1, 2:
				what = fmt.Sprintf("munlock(%#x, %#x)", addr, length)
				syscall(unix.SYS_MUNLOCK, addr, length)
				ours = errno(m.Unlock(nil, addr, length))
			case 3:
				flags := []int{unix.MS_ASYNC, unix.MS_SYNC, unix.MS_INVALIDATE | unix.MS_ASYNC, unix.MS_SYNC | unix.MS_ASYNC, 64}[rnd.Intn(5)]
				what = fmt.Sprintf("msync(%#x, %#x, %d)", addr, length, flags)
				syscall(unix.SYS_MSYNC, addr, length, uint64(flags))
				ours = errno(m.Sync(addr, length, flags, func(File, uint64, uint64) error { return nil }))
			}
		case 8:
			newLen := uint64(rnd.Intn(12)) * pageSize
			flags := []int{0, 0, unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED, unix.MREMAP_FIXED, unix.MREMAP_MAYMOVE | unix.MREMAP_FIXED | unix.MREMAP_DONTUNMAP, 8}[rnd.Intn(6)]
			to := uint64(oracleBase + rnd.Intn(oraclePages)*pageSize)
			if length > oraclePages*pageSize || to+newLen > oracleBase+oraclePages*pageSize {
				continue
			}
			if e := m.vmas.Find(addr); e != nil && flags&unix.MREMAP_FIXED != 0 && addr+length > e.End {
				continue // hosts since Linux 6.17 move several mappings at once
			}
			what = fmt.Sprintf("mremap(%#x, %#x, %#x, %d, %#x)", addr, length, newLen, flags, to)
			syscall(unix.SYS_MREMAP, addr, length, newLen, uint64(flags), to)
			_, err := m.Remap(nil, addr, length, newLen, flags, to, NoLimits)
			ours = errno(err)
		}
		if what == "" {
			continue
		}
		if host != ours {
			t.Errorf("seed %d step %d: %s: %v, the host says %v", seed, step, what, ours, host)
		}
		hostHas, weHave := hostMaps(t), ourMaps(m)
		for a := uint64(oracleBase); a < oracleBase+oraclePages*pageSize; a += pageSize {
			if hostHas[a] != weHave[a] {
				t.Fatalf("seed %d step %d: after %s: %#x is %q, on the host %q", seed, step, what, a, weHave[a], hostHas[a])
			}
		}
		if t.Failed() {
			return
		}
	}
	m.DecUsers()
}
