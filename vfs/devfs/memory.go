package devfs

import (
	"crypto/rand"
	"sync"

	"casemate/vfs"
	"casemate/vfs/usermem"

	"golang.org/x/sys/unix"
)

// device has what all memory devices have: a position that does not matter.
type device struct{ vfs.FileDefaults }

// Seek implements vfs.FileOps: lseek(2) on these devices leads to the beginning.
func (device) Seek(*vfs.Context, *vfs.File, int64, int) (int64, error) { return 0, nil }

// discard takes all of src.
func discard(src *usermem.Seq) int {
	n := src.Len()
	src.Skip(n)
	return int(n)
}

// null is /dev/null.
type null struct{ device }

// Read implements vfs.FileOps.
func (null) Read(*vfs.Context, *vfs.File, *usermem.Seq, int64, uint32) (int, error) { return 0, nil }

// Write implements vfs.FileOps.
func (null) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	return discard(src), nil
}

// zero is /dev/zero.
type zero struct{ device }

// Read implements vfs.FileOps.
func (zero) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	return readZeros(dst)
}

func readZeros(dst *usermem.Seq) (int, error) {
	n, err := dst.Zero(dst.Len())
	if n > 0 {
		err = nil
	}
	return int(n), err
}

// Write implements vfs.FileOps.
func (zero) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	return discard(src), nil
}

// Mmap implements vfs.FileOps: every mapping has memory of its own.
func (zero) Mmap(ctx *vfs.Context, f *vfs.File, _, _ int) (vfs.Mappable, error) {
	shared, err := f.Path().Mount.Superblock().VFS().NewShared(ctx, "dev/zero", zeroSize)
	if err != nil {
		return nil, err
	}
	m, err := shared.Ops().Mmap(ctx, shared, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		shared.DecRef()
		return nil, err
	}
	return &zeroMapping{Mappable: m, file: shared}, nil
}

// zeroSize is the size of the sparse file behind a mapping of /dev/zero.
const zeroSize = 1 << 62

// A zeroMapping is the memory of one mmap(2) of /dev/zero, which goes with its last
// mapping.
type zeroMapping struct {
	vfs.Mappable
	file *vfs.File

	mu     sync.Mutex
	mapped uint64 // bytes
}

// AddMapping implements vfs.Mappable.
func (z *zeroMapping) AddMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) error {
	if err := z.Mappable.AddMapping(m, addr, length, off, writable); err != nil {
		return err
	}
	z.mu.Lock()
	z.mapped += length
	z.mu.Unlock()
	return nil
}

// RemoveMapping implements vfs.Mappable.
func (z *zeroMapping) RemoveMapping(m vfs.MappingSpace, addr, length, off uint64, writable bool) {
	z.Mappable.RemoveMapping(m, addr, length, off, writable)
	z.mu.Lock()
	z.mapped -= length
	last := z.mapped == 0
	z.mu.Unlock()
	if last {
		z.file.DecRef()
	}
}

// full is /dev/full.
type full struct{ device }

// Read implements vfs.FileOps.
func (full) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	return readZeros(dst)
}

// Write implements vfs.FileOps.
func (full) Write(*vfs.Context, *vfs.File, *usermem.Seq, int64, uint32) (int, error) {
	return 0, unix.ENOSPC
}

// random is /dev/random and /dev/urandom.
type random struct{ device }

type randomPage [4096]byte

var randomPages = sync.Pool{New: func() any { return new(randomPage) }}

// Read implements vfs.FileOps.
func (random) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	page := randomPages.Get().(*randomPage)
	defer randomPages.Put(page)
	total := 0
	for dst.Len() > 0 {
		p := page[:min(dst.Len(), uint64(len(page)))]
		rand.Read(p)
		n, err := dst.CopyOut(p)
		total += n
		if err != nil {
			if total == 0 {
				return 0, err
			}
			break
		}
	}
	clear(page[:])
	return total, nil
}

// Write implements vfs.FileOps. The bytes are not needed: the host's generator
// is behind it.
func (random) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	return discard(src), nil
}

// Requests of random(4).
const (
	rndGetEntCnt = 0x80045200 // RNDGETENTCNT
	entropyBits  = 256
)

// Ioctl implements vfs.FileOps.
func (random) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	if cmd != rndGetEntCnt {
		return 0, unix.EINVAL
	}
	p := ctx.Buf[:4]
	p[0], p[1], p[2], p[3] = entropyBits&0xff, entropyBits>>8, 0, 0
	_, err := ctx.Mem.CopyOut(arg, p)
	return 0, err
}
