package mm

import (
	"sync"
	"sync/atomic"

	"casemate/platform/rangemap"

	"golang.org/x/sys/unix"
)

const (
	// windowSize is the size and alignment of a window, and windowMax how many
	// there are at most: more are made at the cost of the oldest.
	windowSize = 1 << 20
	windowMax  = 16
	// windowReads is the number of small reads of host files after which windows
	// are used for them too: most processes are gone before that.
	windowReads = 32
)

// windows are the sentry's mappings of what an address space maps of host files.
// They are made with MemoryManager.mu held at least for reading, and removed with
// it held for writing.
type windows struct {
	mu    sync.Mutex
	list  [windowMax]window
	n     int
	reads atomic.Uint32
}

// A window shows the application's addresses [start, end).
type window struct {
	start, end uint64
	mem        []byte
	writable   bool
}

// find returns what the windows show from addr on, at most to end.
func (w *windows) find(addr, end uint64, write bool) []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range w.list[:w.n] {
		if x := &w.list[i]; addr >= x.start && addr < x.end && (x.writable || !write) {
			return x.mem[addr-x.start : min(x.end, end)-x.start]
		}
	}
	return nil
}

// open makes a window of the backing e, which v maps, around addr. It returns
// false if there is no room.
func (w *windows) open(addr uint64, v *rangemap.Entry[vma], e *rangemap.Entry[backing]) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n == windowMax {
		return false, nil
	}
	at := addr &^ (windowSize - 1)
	x := window{start: max(e.Start, v.Start, at), end: min(e.End, v.End, at+windowSize), writable: e.Value.writable(&v.Value)}
	prot := unix.PROT_READ
	if x.writable {
		prot |= unix.PROT_WRITE
	}
	mem, err := unix.Mmap(int(e.Value.fd), int64(e.Value.off+x.start-e.Start), int(x.end-x.start), prot, unix.MAP_SHARED)
	if err != nil {
		return true, err
	}
	x.mem = mem
	w.list[w.n] = x
	w.n++
	return true, nil
}

// drop removes the windows that show anything of [start, end). The manager's lock
// is held for writing.
func (w *windows) drop(start, end uint64) {
	keep := 0
	for i := range w.list[:w.n] {
		x := w.list[i]
		if x.start < end && x.end > start {
			unix.Munmap(x.mem)
			continue
		}
		w.list[keep] = x
		keep++
	}
	clear(w.list[keep:w.n])
	w.n = keep
}

// makeRoom removes the oldest half of the windows if all are taken. The manager's
// lock is held for writing.
func (w *windows) makeRoom() {
	if w.n < windowMax {
		return
	}
	for _, x := range w.list[:windowMax/2] {
		unix.Munmap(x.mem)
	}
	w.n = copy(w.list[:], w.list[windowMax/2:])
	clear(w.list[w.n:])
}
