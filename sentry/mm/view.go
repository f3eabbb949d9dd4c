package mm

import (
	"bytes"

	"casemate/platform"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// A View is access to an address space on behalf of one Context. It implements
// usermem.Memory. It remembers where it was last, so that only one goroutine may
// use it at a time: each task has its own, for as long as it has the address
// space.
//
// A copy that must break copy-on-write moves the application to another page. The
// Context is what makes that cheap: the change rides on its own return to the
// application. A View with another or no Context is right too, but slower.
type View struct {
	mm *MemoryManager
	c  platform.Context

	// recent are the pieces of memory that were accessed last, the latest first,
	// valid as long as mm.gen is gen.
	gen    uint64
	recent [2]recentPiece

	blocks [][]byte
}

var _ usermem.Memory = (*View)(nil)

// ForContext returns access to the address space for the task that c is of; c is
// nil if it runs in none or in another.
func (m *MemoryManager) ForContext(c platform.Context) *View { return &View{mm: m, c: c} }

// MemoryManager returns the address space.
func (v *View) MemoryManager() *MemoryManager { return v.mm }

// A recentPiece is memory at start.
type recentPiece struct {
	start uint64
	mem   []byte
	write bool
}

// cached returns the n bytes at addr if they lie in a piece last accessed, else
// nil. mm.mu is held.
func (v *View) cached(addr uint64, n int, write bool) []byte {
	if v.gen != v.mm.gen {
		return nil
	}
	for i := range v.recent {
		r := &v.recent[i]
		at := addr - r.start
		if at < uint64(len(r.mem)) && uint64(n) <= uint64(len(r.mem))-at && (r.write || !write) {
			return r.mem[at : at+uint64(n)]
		}
	}
	return nil
}

// remember makes p the piece accessed last.
func (v *View) remember(p recentPiece) {
	v.recent[1] = v.recent[0]
	if v.gen != v.mm.gen {
		v.recent[1] = recentPiece{}
		v.gen = v.mm.gen
	}
	v.recent[0] = p
}

// A piece is memory that an access has found.
type piece struct {
	mem []byte
	// risky says that it is a host file's, which can shrink.
	risky bool
	// small says that a host file is to be read by pread, from fd at off, n
	// bytes.
	small bool
	fd    int
	off   uint64
	n     int
}

// lookup finds memory at addr, at most n bytes, that can be accessed right away.
// mm.mu is held. small allows the piece to be small.
func (v *View) lookup(addr, n uint64, a access, small bool) (p piece, ok bool) {
	m := v.mm
	ve := m.findVMA(addr)
	if ve == nil || !ve.Value.allows(a) {
		return p, false
	}
	be := m.backings.Find(addr)
	if be == nil || a == accessWrite && !be.Value.writable(&ve.Value) {
		return p, false
	}
	start, end := max(ve.Start, be.Start), min(ve.End, be.End)
	n = min(n, end-addr)
	if be.Value.has(backMemory) {
		mem := m.mf.Bytes(be.Value.off+start-be.Start, end-start)
		v.remember(recentPiece{start, mem, ve.Value.allows(accessWrite) && be.Value.writable(&ve.Value)})
		return piece{mem: mem[addr-start : addr-start+n]}, true
	}
	if mem := m.windows.find(addr, addr+n, a == accessWrite); mem != nil {
		return piece{mem: mem, risky: true}, true
	}
	if small && n <= pageSize && m.windows.reads.Add(1) < windowReads {
		return piece{small: true, fd: int(be.Value.fd), off: be.Value.off + addr - be.Start, n: int(n)}, true
	}
	room, err := m.windows.open(addr, ve, be)
	if !room || err != nil {
		return p, false
	}
	mem := m.windows.find(addr, addr+n, a == accessWrite)
	return piece{mem: mem, risky: true}, mem != nil
}

// resolve is lookup after a fault has been resolved where need be. mm.mu is held
// for reading, and may be released and taken again in between. The error is
// EFAULT.
func (v *View) resolve(addr, n uint64, a access, small bool) (piece, error) {
	for try := 0; ; try++ {
		if p, ok := v.lookup(addr, n, a, small); ok {
			return p, nil
		}
		m := v.mm
		m.mu.RUnlock()
		err := v.provide(addr, a)
		m.mu.RLock()
		// More than a few tries are needed only when others keep changing the
		// mapping; an application that does that gets what it asks for.
		if err != nil || try == 100 {
			return piece{}, unix.EFAULT
		}
	}
}

// provide resolves a fault of the sentry.
func (v *View) provide(addr uint64, a access) error {
	m := v.mm
	if err := m.begin(); err != nil {
		return err
	}
	m.windows.makeRoom()
	page := addr &^ (pageSize - 1)
	var err error
	if p, ok := v.lookup(addr, 1, a, false); !ok || p.mem == nil {
		err = m.fault(page, a, false)
	}
	return m.end(v.c, err)
}

// CopyIn implements usermem.Memory.
func (v *View) CopyIn(dst []byte, addr uint64) (int, error) {
	m := v.mm
	m.mu.RLock()
	if mem := v.cached(addr, len(dst), false); mem != nil {
		copy(dst, mem)
		m.mu.RUnlock()
		return len(dst), nil
	}
	m.mu.RUnlock()
	return v.read(dst, addr, accessRead)
}

// read copies in without the cached piece.
func (v *View) read(dst []byte, addr uint64, a access) (int, error) {
	v.mm.mu.RLock()
	defer v.mm.mu.RUnlock()
	done := 0
	for done < len(dst) {
		p, err := v.resolve(addr+uint64(done), uint64(len(dst)-done), a, true)
		if err != nil {
			return done, err
		}
		n, err := p.copyIn(dst[done:])
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// copyIn copies the piece to dst, which is at least as long.
func (p *piece) copyIn(dst []byte) (int, error) {
	switch {
	case p.small:
		return readMapped(p.fd, dst[:p.n], p.off)
	case p.risky:
		return usermem.Copy(dst, p.mem)
	}
	return copy(dst, p.mem), nil
}

// readMapped reads a host file as if it were mapped: with zeros up to the end of
// its last page, and EFAULT beyond.
func readMapped(fd int, dst []byte, off uint64) (int, error) {
	done := 0
	for done < len(dst) {
		n, err := unix.Pread(fd, dst[done:], int64(off)+int64(done))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return done, unix.EFAULT
		}
		if n == 0 {
			end := off + uint64(done)
			zeros := min((end+pageSize-1)&^(pageSize-1)-end, uint64(len(dst)-done))
			clear(dst[done : done+int(zeros)])
			done += int(zeros)
			if done < len(dst) {
				return done, unix.EFAULT
			}
			break
		}
		done += n
	}
	return done, nil
}

// CopyOut implements usermem.Memory.
func (v *View) CopyOut(addr uint64, src []byte) (int, error) {
	m := v.mm
	m.mu.RLock()
	if mem := v.cached(addr, len(src), true); mem != nil {
		copy(mem, src)
		m.mu.RUnlock()
		return len(src), nil
	}
	defer m.mu.RUnlock()
	done := 0
	for done < len(src) {
		p, err := v.resolve(addr+uint64(done), uint64(len(src)-done), accessWrite, false)
		if err != nil {
			return done, err
		}
		n := 0
		if p.risky {
			n, err = usermem.Copy(p.mem, src[done:])
		} else {
			n = copy(p.mem, src[done:])
		}
		done += n
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// Zero implements usermem.Memory.
func (v *View) Zero(addr, length uint64) (uint64, error) {
	v.mm.mu.RLock()
	defer v.mm.mu.RUnlock()
	done := uint64(0)
	for done < length {
		p, err := v.resolve(addr+done, length-done, accessWrite, false)
		if err != nil {
			return done, err
		}
		if p.risky {
			if err := usermem.Guard(func() { clear(p.mem) }); err != nil {
				return done, err
			}
		} else {
			clear(p.mem)
		}
		done += uint64(len(p.mem))
	}
	return done, nil
}

// CopyInString implements usermem.Memory.
func (v *View) CopyInString(addr uint64, max int) (string, error) {
	var few [256]byte
	buf := few[:0]
	for len(buf) < max {
		at := addr + uint64(len(buf))
		// Not beyond the page: what follows may be no memory.
		n := min(pageSize-int(at%pageSize), max-len(buf), len(few))
		if cap(buf)-len(buf) < n {
			grown := make([]byte, len(buf), 2*cap(buf)+n)
			copy(grown, buf)
			buf = grown
		}
		chunk := buf[len(buf) : len(buf)+n]
		if n, err := v.CopyIn(chunk, at); err != nil {
			// The string may still end before that.
			if i := bytes.IndexByte(chunk[:n], 0); i >= 0 {
				return string(buf[:len(buf)+i]), nil
			}
			return "", err
		}
		if i := bytes.IndexByte(chunk, 0); i >= 0 {
			return string(buf[:len(buf)+i]), nil
		}
		buf = buf[:len(buf)+n]
	}
	return "", unix.ENAMETOOLONG
}

// Blocks implements usermem.Memory.
func (v *View) Blocks(addr, length uint64, write bool, f func(blocks [][]byte) (int, error)) (int, error) {
	a := accessRead
	if write {
		a = accessWrite
	}
	m := v.mm
	m.mu.RLock()
	defer m.mu.RUnlock()
	for try := 0; ; try++ {
		gen := m.gen
		blocks := v.blocks[:0]
		done := uint64(0)
		for done < length {
			p, err := v.resolve(addr+done, length-done, a, false)
			if err != nil {
				if done == 0 {
					return 0, err
				}
				length = done // f gets what comes before
				break
			}
			blocks = append(blocks, p.mem)
			done += uint64(len(p.mem))
		}
		// Resolving a fault released the lock: what came before may be gone.
		if m.gen != gen && try < 100 {
			continue
		}
		if m.gen != gen {
			return 0, unix.EFAULT
		}
		v.blocks = nil
		n, err := f(blocks)
		clear(blocks)
		v.blocks = blocks
		return n, err
	}
}
