package vfs

import (
	"casemate/netstack/pkt"

	"golang.org/x/sys/unix"
)

// A Lender is a FileOps that may have bytes of its file in packet buffers, so that
// sendfile(2) need not copy them.
type Lender interface {
	// Lend returns bytes of the file from off on, at most n, as pkt.Lender does. The core
	// has checked the access mode.
	Lend(ctx *Context, f *File, off int64, n int) (pkt.Frag, bool)
}

// Lend is Pread, or Read if off is negative, of at most n bytes without a copy. It
// returns false if they are to be read.
func (f *File) Lend(ctx *Context, off int64, n int) (pkt.Frag, bool) {
	l, ok := f.ops.(Lender)
	if !ok || f.mode&(modeRead|modePath) != modeRead {
		return pkt.Frag{}, false
	}
	var lent pkt.Frag
	if off >= 0 {
		lent, ok = l.Lend(ctx, f, off, n)
	} else {
		f.posMu.Lock()
		lent, ok = l.Lend(ctx, f, f.pos, n)
		f.pos += int64(lent.Len)
		f.posMu.Unlock()
	}
	if ok {
		f.notify(unix.IN_ACCESS)
	}
	return lent, ok
}
