package mm

import (
	"bytes"

	"casemate/platform"
	"casemate/platform/arch"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// ReadText implements platform.Text.
func (m *MemoryManager) ReadText(addr uint64, p []byte) error {
	v := View{mm: m}
	n, err := v.read(p, addr, accessExec)
	if n < len(p) {
		return err
	}
	return nil
}

// PatchText implements platform.Text. It does not change an instruction that lies
// in two pages.
func (m *MemoryManager) PatchText(c platform.Context, addr uint64, old, new []byte) bool {
	if len(old) != len(new) || len(old) == 0 || m.begin() != nil {
		return false
	}
	done := m.patchLocked(addr, old, new)
	return m.end(c, nil) == nil && done
}

// patchLocked changes bytes of one page. Other threads may be executing them: they
// find either the old or the new, since a page that is in use already is not
// written to but replaced by another.
func (m *MemoryManager) patchLocked(addr uint64, old, new []byte) bool {
	page := addr &^ (pageSize - 1)
	end := addr + uint64(len(old))
	e := m.findVMA(addr)
	if e == nil || end > page+pageSize || e.Value.has(vmaShared) || e.Value.prot&(unix.PROT_WRITE|unix.PROT_EXEC) != unix.PROT_EXEC {
		return false
	}
	b := m.backings.Find(page)
	inUse := b != nil && b.Value.private() && m.users.Load() > 1
	if m.provide(*e, page, true) != nil {
		return false
	}
	text := func() []byte {
		b = m.backings.Find(page)
		return m.mf.Bytes(b.Value.off+addr-b.Start, end-addr)
	}
	if !bytes.Equal(text(), old) {
		return false
	}
	if inUse && m.copyPrivate(page, page+pageSize, b.Value.off+page-b.Start) != nil {
		return false
	}
	copy(text(), new)
	return true
}

// ReadForced copies in what the application itself may not be able to read
// (ptrace(2), /proc/PID/mem): any mapping will do. It returns how many bytes it
// has copied, and EFAULT if that is fewer than dst has.
func (m *MemoryManager) ReadForced(c platform.Context, dst []byte, addr uint64) (int, error) {
	return m.forced(c, dst, addr, false)
}

// WriteForced is ReadForced in the other direction: private mappings that are not
// writable get a copy of the page. Shared ones must be writable.
func (m *MemoryManager) WriteForced(c platform.Context, addr uint64, src []byte) (int, error) {
	return m.forced(c, src, addr, true)
}

func (m *MemoryManager) forced(c platform.Context, p []byte, addr uint64, write bool) (int, error) {
	if m.begin() != nil {
		return 0, unix.EFAULT
	}
	done := 0
	for done < len(p) {
		n := m.forcedPage(p[done:], addr+uint64(done), write)
		if n == 0 {
			break
		}
		done += n
	}
	if m.end(c, nil) != nil || done < len(p) {
		return done, unix.EFAULT
	}
	return done, nil
}

// forcedPage copies within one page and returns how many bytes.
func (m *MemoryManager) forcedPage(p []byte, addr uint64, write bool) int {
	e := m.findVMA(addr)
	if e == nil || write && e.Value.has(vmaShared) && !e.Value.allows(accessWrite) {
		return 0
	}
	page := addr &^ (pageSize - 1)
	if m.provide(*e, page, write) != nil {
		return 0
	}
	b := m.backings.Find(page)
	p = p[:min(uint64(len(p)), page+pageSize-addr)]
	off := b.Value.off + addr - b.Start
	if b.Value.has(backMemory) {
		if write {
			return copy(m.mf.Bytes(off, uint64(len(p))), p)
		}
		return copy(p, m.mf.Bytes(off, uint64(len(p))))
	}
	if !write {
		n, _ := readMapped(int(b.Value.fd), p, off)
		return n
	}
	m.windows.makeRoom()
	if _, err := m.windows.open(addr, e, b); err != nil {
		return 0
	}
	mem := m.windows.find(addr, addr+uint64(len(p)), true)
	n, _ := usermem.Copy(mem, p)
	return n
}

// ReserveHidden implements platform.Text.
func (m *MemoryManager) ReserveHidden(c platform.Context, lo, hi, length uint64) (uint64, error) {
	length, ok := arch.PageRoundUp(length)
	if !ok || length == 0 || hi < lo || length > hi-lo {
		return 0, unix.EINVAL
	}
	if err := m.begin(); err != nil {
		return 0, err
	}
	addr, err := m.reserveLocked(lo, hi, length)
	return addr, m.end(c, err)
}

func (m *MemoryManager) reserveLocked(lo, hi, length uint64) (uint64, error) {
	lo, hi = max(lo, m.layout.Min), min(hi, m.layout.Max)&^(pageSize-1)
	addr, err := m.findGap((lo+pageSize-1)&^(pageSize-1), hi, length, pageSize, false)
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
