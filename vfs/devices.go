package vfs

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A Driver opens the devices of some numbers.
type Driver interface {
	// OpenDevice returns what f, an open device file with the number dev, does.
	// It may call f.SetStream.
	OpenDevice(ctx *Context, f *File, dev Dev) (FileOps, error)
}

// drivers are the registered drivers.
type drivers struct {
	mu    sync.RWMutex
	char  []driverRange
	block []driverRange
}

type driverRange struct {
	major, first, last uint32
	d                  Driver
}

// RegisterDriver makes d open the character devices (mode S_IFCHR) or block
// devices (S_IFBLK) with that major number and minor numbers first to last.
func (v *VFS) RegisterDriver(mode, major, first, last uint32, d Driver) {
	v.drivers.mu.Lock()
	defer v.drivers.mu.Unlock()
	list := &v.drivers.char
	if mode == unix.S_IFBLK {
		list = &v.drivers.block
	}
	*list = append(*list, driverRange{major, first, last, d})
}

// openDevice opens f's device: ENXIO if there is none of that number.
func (v *VFS) openDevice(ctx *Context, f *File) (FileOps, error) {
	dev := f.inode.rdev
	v.drivers.mu.RLock()
	list := v.drivers.char
	if f.inode.Type() == unix.S_IFBLK {
		list = v.drivers.block
	}
	v.drivers.mu.RUnlock()
	for _, r := range list {
		if r.major == dev.Major() && r.first <= dev.Minor() && dev.Minor() <= r.last {
			return r.d.OpenDevice(ctx, f, dev)
		}
	}
	return nil, unix.ENXIO
}
