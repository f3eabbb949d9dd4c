package vfs

import (
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// An FSType is a type of file system that mount(2) knows by name.
type FSType interface {
	// Name is the name in /proc/filesystems.
	Name() string
	// Mount returns a new or an existing instance. flags are MS_*, data is the
	// option string of mount(2). EINVAL for options that it does not know.
	Mount(ctx *Context, source string, flags uint32, data string) (*Superblock, error)
	// Flags are SBUserMount and SBKernel of its instances.
	Flags() uint32
}

// fsTypes are the registered types.
type fsTypes struct {
	mu   sync.RWMutex
	list []FSType
}

// RegisterType makes t known to mount(2).
func (v *VFS) RegisterType(t FSType) {
	v.types.mu.Lock()
	v.types.list = append(v.types.list, t)
	v.types.mu.Unlock()
}

// Type returns the type called name: ENODEV. A suffix after a dot (fuse.sshfs) does
// not count.
func (v *VFS) Type(name string) (FSType, error) {
	name, _, _ = strings.Cut(name, ".")
	v.types.mu.RLock()
	defer v.types.mu.RUnlock()
	for _, t := range v.types.list {
		if t.Name() == name {
			return t, nil
		}
	}
	return nil, unix.ENODEV
}

// Types returns all types in the order of registration.
func (v *VFS) Types() []FSType {
	v.types.mu.RLock()
	defer v.types.mu.RUnlock()
	return slices.Clone(v.types.list)
}
