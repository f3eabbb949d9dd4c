package mm

import (
	"bytes"

	"casemate/platform"
	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// hiddenReach is the distance within which code reaches hidden code by a relative
// jump, with some margin.
const hiddenReach = 2<<30 - 16<<20

// ReadText implements platform.Text.
func (m *MemoryManager) ReadText(addr uint64, p []byte) error {
	v := View{mm: m}
	n, err := v.read(p, addr, accessExec)
	if n < len(p) {
		return err
	}
	return nil
}

// PatchText implements platform.Text.
func (m *MemoryManager) PatchText(c platform.Context, addr uint64, old, new []byte) bool {
	if len(old) != len(new) || len(old) == 0 || m.begin() != nil {
		return false
	}
	done := m.patchLocked(addr, old, new)
	return m.end(c, nil) == nil && done
}

func (m *MemoryManager) patchLocked(addr uint64, old, new []byte) bool {
	end := addr + uint64(len(old))
	for at := addr; at < end; {
		e := m.findVMA(at)
		if e == nil || e.Value.has(vmaShared) || e.Value.prot&(unix.PROT_WRITE|unix.PROT_EXEC) != unix.PROT_EXEC {
			return false
		}
		page := at &^ (pageSize - 1)
		if m.provide(*e, page, true) != nil {
			return false
		}
		at = page + pageSize
	}
	// Now all of it is private memory, and nobody else's.
	b := m.backings.Find(addr)
	if end > b.End {
		// Two backings: what one instruction may straddle.
		next := m.backings.Find(b.End)
		first := m.mf.Bytes(b.Value.off+addr-b.Start, b.End-addr)
		second := m.mf.Bytes(next.Value.off, end-b.End)
		if !bytes.Equal(first, old[:len(first)]) || !bytes.Equal(second, old[len(first):]) {
			return false
		}
		copy(first, new)
		copy(second, new[len(first):])
		return true
	}
	text := m.mf.Bytes(b.Value.off+addr-b.Start, end-addr)
	if !bytes.Equal(text, old) {
		return false
	}
	copy(text, new)
	return true
}

// ReserveHidden implements platform.Text.
func (m *MemoryManager) ReserveHidden(c platform.Context, near, length uint64) (uint64, error) {
	length, ok := arch.PageRoundUp(length)
	if !ok || length == 0 || length > hiddenReach/2 {
		return 0, unix.EINVAL
	}
	if err := m.begin(); err != nil {
		return 0, err
	}
	addr, err := m.reserveLocked(near, length)
	return addr, m.end(c, err)
}

func (m *MemoryManager) reserveLocked(near, length uint64) (uint64, error) {
	lo, hi := m.layout.Min, m.layout.Max
	if near > hiddenReach {
		lo = max(lo, (near-hiddenReach)&^(pageSize-1))
	}
	hi = min(hi, (near+hiddenReach)&^(pageSize-1))
	if near >= hi {
		return 0, unix.EINVAL
	}
	// Below the program is less in the way of its heap and of other libraries.
	addr, err := m.findGap(lo, near&^(pageSize-1), length, pageSize, false)
	if err != nil {
		addr, err = m.findGap(near&^(pageSize-1), hi, length, pageSize, true)
	}
	if err != nil {
		return 0, err
	}
	v := vma{prot: unix.PROT_READ | unix.PROT_EXEC, flags: vmaHidden}
	m.insertVMA(addr, addr+length, v)
	if err := m.fillZero(addr, addr+length); err != nil {
		m.vmas.Remove(addr, addr+length)
		m.removeBackings(addr, addr+length)
		return 0, err
	}
	m.mapHost(addr, addr+length, false, false)
	return addr, nil
}

// WriteHidden implements platform.Text.
func (m *MemoryManager) WriteHidden(c platform.Context, addr uint64, code []byte) error {
	if err := m.begin(); err != nil {
		return err
	}
	return m.end(c, m.writeHiddenLocked(addr, code))
}

func (m *MemoryManager) writeHiddenLocked(addr uint64, code []byte) error {
	for len(code) > 0 {
		e := m.vmas.Find(addr)
		if e == nil || !e.Value.has(vmaHidden) {
			return unix.EFAULT
		}
		page := addr &^ (pageSize - 1)
		if b := m.backings.Find(page); b.Value.has(backCOW) {
			if err := m.breakCOW(e, *b, page); err != nil {
				return err
			}
		}
		b := m.backings.Find(page)
		n := copy(m.mf.Bytes(b.Value.off+addr-b.Start, page+pageSize-addr), code)
		code = code[n:]
		addr += uint64(n)
	}
	return nil
}
