package tmpfs

import (
	"casemate/netstack/pkt"
	"casemate/platform/memfile"
	"casemate/vfs"
)

// lendMin is the number of bytes below which a copy is cheaper.
const lendMin = 16 << 10

// Lend implements vfs.Lender: sockets get references to the file's pages, which keep them
// when they are no longer the file's.
func (r *regular) Lend(_ *vfs.Context, f *vfs.File, off int64, n int) (pkt.Frag, bool) {
	r.data.RLock()
	size := r.Size()
	if off >= size {
		r.data.RUnlock()
		return pkt.Frag{}, false
	}
	at, length, ok := r.table.run(uint64(off), uint64(min(int64(n), size-off, pkt.LargeSize)))
	if !ok || length < lendMin {
		r.data.RUnlock()
		return pkt.Frag{}, false
	}
	r.fs.mem.IncRef(pages(at, length))
	r.data.RUnlock()
	f.Accessed()
	b := pkt.Borrow(r.fs.mem.Bytes(at, length), lessor{r.fs.mem}, at)
	return pkt.Frag{Buf: b, Len: uint32(length)}, true
}

// lessor is a memory file as the owner of Bufs.
type lessor struct{ mem *memfile.File }

// Return implements pkt.Owner.
func (l lessor) Return(at uint64, n int) { l.mem.DecRef(pages(at, uint64(n))) }

// pages returns the range of the pages that have the length bytes at.
func pages(at, length uint64) memfile.Range {
	return memfile.Range{Start: at &^ (pageSize - 1), End: (at + length + pageSize - 1) &^ (pageSize - 1)}
}
