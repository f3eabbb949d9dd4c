package sock

import (
	"casemate/netstack/bpf"
	"casemate/netstack/pkt"
	"golang.org/x/sys/unix"
)

// SetFilter is SO_ATTACH_FILTER, or with nil SO_DETACH_FILTER (socket(7)): EPERM when the
// filter is locked, ENOENT if there is none to be detached. f has been checked.
func (o *Options) SetFilter(f bpf.Program) error {
	switch {
	case o.filterLocked.Load():
		return unix.EPERM
	case f != nil:
		o.filter.Store(&f)
	case o.filter.Swap(nil) == nil:
		return unix.ENOENT
	}
	return nil
}

// SetFilterLock is SO_LOCK_FILTER: EPERM to unlock.
func (o *Options) SetFilterLock(on bool) error {
	if !on && o.filterLocked.Load() {
		return unix.EPERM
	}
	o.filterLocked.Store(on)
	return nil
}

// FilterLock is SO_LOCK_FILTER.
func (o *Options) FilterLock() bool { return o.filterLocked.Load() }

// Filter runs the socket's filter, if it has one, over p, which starts with its network
// header; the program's offsets count from off. It returns how many bytes from off on are
// to be kept, at most what there is; 0: p is not wanted.
func (o *Options) Filter(p *pkt.Packet, off int) int {
	n := p.Len() - off
	f := o.filter.Load()
	if f == nil {
		return n
	}
	b := make([]byte, p.Len())
	p.CopyOut(0, b)
	x := bpf.Packet{Data: b, Len: n, Start: off, Protocol: p.EtherType, PktType: p.Type, IfIndex: uint32(p.InIf), Mark: p.Mark}
	return int(min(uint64(f.Run(&x)), uint64(n)))
}
