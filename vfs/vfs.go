package vfs

import (
	"sync"
	"sync/atomic"
	"time"

	"casemate/vfs/cred"

	"golang.org/x/sys/unix"
)

// A VFS is all there is of file systems in one sandbox: the mount table, device
// numbers and drivers.
type VFS struct {
	// Now is the time that goes into inodes, in nanoseconds since the epoch.
	Now func() int64
	// UserNS is the initial user namespace.
	UserNS *cred.UserNamespace

	// mountMu guards the topology of all mounts (Linux's namespace_sem).
	mountMu sync.Mutex
	// mounts is what is mounted where; a new map replaces it at each change.
	mounts atomic.Pointer[map[mountAt]*Mount]

	mountIDs   idSet // guarded by mountMu
	peerGroups idSet // guarded by mountMu
	uniqueID   atomic.Uint64

	devs    anonDevs
	drivers drivers
	types   fsTypes
	states  fsStates
	// lockWaits is who waits for whose record lock.
	lockWaits lockWaits
	// watches is how many Watches there are, so that nobody looks for them if
	// there are none; moves numbers renames for them.
	watches atomic.Int64
	moves   atomic.Uint32

	// openFIFO is the pipe package's.
	openFIFO func(ctx *Context, f *File) (FileOps, error)
	// newShared is a tmpfs'.
	newShared func(ctx *Context, name string, size int64) (*File, error)
}

// New returns a VFS without mounts. Now is the host's clock until it is set.
func New(ns *cred.UserNamespace) *VFS {
	v := &VFS{UserNS: ns, Now: func() int64 { return time.Now().UnixNano() }}
	v.mounts.Store(&map[mountAt]*Mount{})
	return v
}

// SetFIFO says who opens FIFOs; without it they give ENXIO.
func (v *VFS) SetFIFO(open func(ctx *Context, f *File) (FileOps, error)) { v.openFIFO = open }

// SetShared says who makes files in memory without a name, for NewShared.
func (v *VFS) SetShared(create func(ctx *Context, name string, size int64) (*File, error)) {
	v.newShared = create
}

// NewShared returns a new sparse file in memory, of size bytes, that no name leads
// to: shared memory between processes. ENODEV if there is nobody to make it.
func (v *VFS) NewShared(ctx *Context, name string, size int64) (*File, error) {
	if v.newShared == nil {
		return nil, unix.ENODEV
	}
	return v.newShared(ctx, name, size)
}

// idSet gives out the lowest free positive number.
type idSet struct{ used []uint64 }

func (s *idSet) get() int {
	for i, w := range s.used {
		if w != ^uint64(0) {
			for b := range 64 {
				if w>>b&1 == 0 {
					s.used[i] |= 1 << b
					return i*64 + b + 1
				}
			}
		}
	}
	s.used = append(s.used, 1)
	return (len(s.used)-1)*64 + 1
}

func (s *idSet) put(id int) { s.used[(id-1)/64] &^= 1 << ((id - 1) % 64) }

// anonDevs gives out device numbers for file systems without a device: major 0.
type anonDevs struct {
	mu  sync.Mutex
	ids idSet
}

func (v *VFS) anonymousDev() Dev {
	v.devs.mu.Lock()
	defer v.devs.mu.Unlock()
	return MakeDev(0, uint32(v.devs.ids.get()))
}

// freeDev gives an anonymous device number back.
func (v *VFS) freeDev(d Dev) {
	if d.Major() != 0 {
		return
	}
	v.devs.mu.Lock()
	v.devs.ids.put(int(d.Minor()))
	v.devs.mu.Unlock()
}
