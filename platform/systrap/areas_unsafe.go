//go:build amd64

package systrap

import (
	"sync"
	"unsafe"

	"casemate/platform/loan"

	"golang.org/x/sys/unix"
)

// areasSize is the size of the area file, nearly all of it a hole.
const areasSize = 256 << 30

// areas is the memory that the sentry shares with the stubs, by the chunk, and
// the read-only table of alternate signal stacks.
type areas struct {
	fd  int
	mem []byte // the whole file

	tableFD int
	table   []byte

	mu          sync.Mutex
	free        []uint64 // offsets of free chunks, all zero
	top         uint64   // everything from here on is free too
	tableChunks int      // slots of so many chunks are in the table
}

// A stackT is stack_t of sigaltstack(2).
type stackT struct {
	sp    uint64
	flags int32
	_     int32
	size  uint64
}

const tableSize = (maxSlots*unsafe.Sizeof(stackT{}) + 0xfff) &^ 0xfff

func newAreas() (*areas, error) {
	a := &areas{fd: -1, tableFD: -1, top: chunkSize} // no chunk has offset 0
	var err error
	if a.fd, a.mem, err = sharedFile("systrap-areas", areasSize); err != nil {
		return nil, err
	}
	if a.tableFD, a.table, err = sharedFile("systrap-stacks", int64(tableSize)); err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// sharedFile returns a new memory file, and all of it mapped.
func sharedFile(name string, size int64) (fd int, mem []byte, err error) {
	fd, err = unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return -1, nil, err
	}
	if err = unix.Ftruncate(fd, size); err == nil {
		mem, err = unix.Mmap(fd, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_NORESERVE)
	}
	if err != nil {
		unix.Close(fd)
		return -1, nil, err
	}
	return fd, mem, nil
}

func (a *areas) close() {
	if a == nil {
		return
	}
	if a.mem != nil {
		unix.Munmap(a.mem)
		unix.Close(a.fd)
	}
	if a.table != nil {
		unix.Munmap(a.table)
		unix.Close(a.tableFD)
	}
}

// allocate returns the offset of a chunk of zeroes.
func (a *areas) allocate() (uint64, unix.Errno) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.free); n > 0 {
		off := a.free[n-1]
		a.free = a.free[:n-1]
		return off, 0
	}
	if a.top == areasSize {
		return 0, unix.EAGAIN
	}
	off := a.top
	a.top += chunkSize
	return off, 0
}

// keepSize is up to how much memory a free chunk keeps, so that the next process
// need not make it anew.
const keepSize = 0x10000

// release gives back a chunk that no process maps any more.
func (a *areas) release(off uint64) {
	if !a.wipe(off) {
		if err := unix.Fallocate(a.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), chunkSize); err != nil {
			clear(a.mem[off : off+chunkSize])
		}
	}
	a.mu.Lock()
	a.free = append(a.free, off)
	a.mu.Unlock()
}

// wipe clears a chunk if it has little memory.
func (a *areas) wipe(off uint64) bool {
	end := off + chunkSize
	for kept := uint64(0); ; {
		data, _, e := unix.RawSyscall(unix.SYS_LSEEK, uintptr(a.fd), uintptr(off), unix.SEEK_DATA)
		if e == unix.ENXIO || e == 0 && uint64(data) >= end {
			return true
		}
		hole, _, e2 := unix.RawSyscall(unix.SYS_LSEEK, uintptr(a.fd), data, unix.SEEK_HOLE)
		if e != 0 || e2 != 0 {
			return false
		}
		off = min(uint64(hole), end)
		if kept += off - uint64(data); kept > keepSize {
			return false
		}
		clear(a.mem[data:off])
	}
}

// stack returns the address of a slot's stack_t in the stubs.
func (a *areas) stack(slot int) uint64 {
	a.mu.Lock()
	for a.tableChunks <= slot/chunkSlots {
		for i := a.tableChunks * chunkSlots; i < (a.tableChunks+1)*chunkSlots; i++ {
			s := (*stackT)(unsafe.Pointer(&a.table[uintptr(i)*unsafe.Sizeof(stackT{})]))
			s.sp = areaAddr(i) + stackStart
			s.size = stackSize
		}
		a.tableChunks++
	}
	a.mu.Unlock()
	return stubTable + uint64(slot)*uint64(unsafe.Sizeof(stackT{}))
}

// areaAddr is the address of a slot's area in its process.
func areaAddr(slot int) uint64 { return stubAreas + uint64(slot)*areaSize }

// An area is the sentry's view of a thread's area. The application can write to
// it at any time.
type area struct{ mem *[areaSize]byte }

// at returns the area of a slot whose chunk is at offset chunk of the area file.
func (a *areas) at(chunk uint64, slot int) area {
	return area{(*[areaSize]byte)(a.mem[chunk+uint64(slot%chunkSlots)*areaSize:])}
}

func (a area) word(off int) *uint64 { return (*uint64)(unsafe.Pointer(&a.mem[off])) }

// A call is a system call that a stub is told to make.
type call struct {
	nr   uint64
	args [6]uint64
}

// putCalls writes calls, at most maxCalls, where the stub looks for them.
func (a area) putCalls(calls []call) {
	for i := range calls {
		*(*call)(unsafe.Pointer(&a.mem[areaCalls+i*callSize])) = calls[i]
	}
}

// wipe clears what the stub and the kernel have left in the area.
func (a area) wipe() {
	const frames = 0x2000 // at the end, where signal frames begin
	lent := *a.word32(areaLent) != 0
	clear(a.mem[:commandEnd])
	if lent {
		clear(a.mem[deskStart:][:loan.Size])
	}
	clear(a.mem[areaSize-frames:])
}

// result returns what the stub has written as the result of a call. It is only
// to be believed before there is an application.
func (a area) result(i int) uint64 { return *a.word(areaCalls + i*callSize + 56) }
