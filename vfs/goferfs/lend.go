package goferfs

import (
	"container/list"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
	"casemate/vfs"
)

const (
	// lendMin is the number of bytes below which a copy is cheaper.
	lendMin = 16 << 10
	// keptFile is the size of the largest file that is kept, and keptMax how much is
	// kept of all files of a tree.
	keptFile = 4 << 20
	keptMax  = 16 << 20
	// settled is how long ago a file must have changed to be kept: another change would
	// give it another time, however coarse the host's file system counts.
	settled = 3 * time.Second
)

// A keeper has the contents of files that were sent to sockets, to be sent again. In a
// tree that is the sandbox's own, only a writable mapping can change a file that looks
// unchanged: files that have one are not kept.
type keeper struct {
	now func() time.Time

	mu    sync.Mutex
	files list.List // of *kept, the last one sent in front
	size  int       // of all Bufs
}

// kept is what is kept of a file.
type kept struct {
	n     *node
	as    version
	place *list.Element
	bufs  []*pkt.Buf // LargeSize bytes of the file each, nil for those that have not been sent
}

// A version tells a file's contents from earlier and later ones.
type version struct {
	size         int64
	mtime, ctime unix.Timespec
}

// Lend implements vfs.Lender.
func (r regular) Lend(_ *vfs.Context, f *vfs.File, off int64, n int) (pkt.Frag, bool) {
	nd := r.node()
	if n < lendMin || nd.fs.shared || nd.maps.Writable() {
		return pkt.Frag{}, false
	}
	fd, err := nd.file(false)
	if err != nil {
		return pkt.Frag{}, false
	}
	var st unix.Stat_t
	if unix.Fstat(fd, &st) != nil || off >= st.Size || st.Size > keptFile {
		return pkt.Frag{}, false
	}
	as := version{st.Size, st.Mtim, st.Ctim}
	i := off / pkt.LargeSize
	b := nd.fs.keeper.get(nd, as, i)
	if b == nil {
		if b = nd.sendable(fd, as, i); b == nil {
			return pkt.Frag{}, false
		}
	}
	f.Accessed()
	in := off - i*pkt.LargeSize
	return pkt.Frag{Buf: b, Off: uint32(in), Len: uint32(min(int64(n), pkt.LargeSize-in, st.Size-off))}, true
}

// sendable reads piece i of n as it is now, keeps it, and returns it with a reference; nil if it
// is not to be kept.
func (n *node) sendable(fd int, as version, i int64) *pkt.Buf {
	if n.fs.keeper.now().Sub(time.Unix(as.ctime.Unix())) < settled {
		return nil
	}
	mapped := n.mapped.Load()
	length := min(pkt.LargeSize, as.size-i*pkt.LargeSize)
	b := pkt.Alloc(int(length))
	p := b.Bytes()[:length]
	if got, err := unix.Pread(fd, p, i*pkt.LargeSize); err != nil || got < len(p) {
		b.Unref()
		return nil
	}
	b.Seal()
	n.fs.keeper.put(n, mapped, as, i, b)
	return b
}

// get returns piece i of n with a reference, if it is kept of that version.
func (k *keeper) get(n *node, as version, i int64) *pkt.Buf {
	k.mu.Lock()
	defer k.mu.Unlock()
	f := n.kept
	if f == nil {
		return nil
	}
	if f.as != as {
		k.remove(f)
		return nil
	}
	k.files.MoveToFront(f.place)
	b := f.bufs[i]
	if b != nil {
		b.Ref()
	}
	return b
}

// put keeps b, with a reference of its own, as piece i of n, unless it is kept already, or a
// writable mapping has been added since n.mapped was mapped.
func (k *keeper) put(n *node, mapped uint64, as version, i int64, b *pkt.Buf) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n.mapped.Load() != mapped {
		return
	}
	f := n.kept
	if f != nil && f.as != as {
		k.remove(f)
		f = nil
	}
	if f == nil {
		f = &kept{n: n, as: as, bufs: make([]*pkt.Buf, (as.size+pkt.LargeSize-1)/pkt.LargeSize)}
		f.place = k.files.PushFront(f)
		n.kept = f
	}
	if f.bufs[i] != nil {
		return
	}
	b.Ref()
	f.bufs[i] = b
	k.size += b.Cap()
	for k.size > keptMax {
		k.remove(k.files.Back().Value.(*kept))
	}
}

// drop forgets what is kept of n.
func (k *keeper) drop(n *node) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if n.kept != nil {
		k.remove(n.kept)
	}
}

// remove forgets f. k.mu is held.
func (k *keeper) remove(f *kept) {
	for _, b := range f.bufs {
		if b != nil {
			k.size -= b.Cap()
			b.Unref()
		}
	}
	k.files.Remove(f.place)
	f.n.kept = nil
}
