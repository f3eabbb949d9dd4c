package tmpfs

import (
	"maps"
	"slices"
	"strings"
	"sync"

	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// maxXattrs is how many bytes the extended attributes of an object may take: ENOSPC.
const maxXattrs = 128 << 10

// xattrs are the extended attributes of an object.
type xattrs struct {
	mu   sync.Mutex
	m    map[string]string
	size int // of all names and values
}

// supported reports whether tmpfs keeps attributes of that namespace.
func supported(name string) bool {
	return strings.HasPrefix(name, "user.") || strings.HasPrefix(name, "trusted.") || strings.HasPrefix(name, "security.")
}

// Getxattr implements vfs.InodeOps.
func (n *node) Getxattr(_ *vfs.Context, name string) ([]byte, error) {
	if !supported(name) {
		return nil, unix.EOPNOTSUPP
	}
	n.xattr.mu.Lock()
	defer n.xattr.mu.Unlock()
	v, ok := n.xattr.m[name]
	if !ok {
		return nil, unix.ENODATA
	}
	return []byte(v), nil
}

// Setxattr implements vfs.InodeOps.
func (n *node) Setxattr(_ *vfs.Context, name string, value []byte, flags int) error {
	if !supported(name) {
		return unix.EOPNOTSUPP
	}
	n.xattr.mu.Lock()
	defer n.xattr.mu.Unlock()
	old, ok := n.xattr.m[name]
	if flags&unix.XATTR_CREATE != 0 && ok {
		return unix.EEXIST
	}
	if flags&unix.XATTR_REPLACE != 0 && !ok {
		return unix.ENODATA
	}
	size := n.xattr.size + len(value) - len(old)
	if !ok {
		size += len(name)
	}
	if size > maxXattrs {
		return unix.ENOSPC
	}
	n.xattr.size = size
	if n.xattr.m == nil {
		n.xattr.m = make(map[string]string)
	}
	n.xattr.m[name] = string(value)
	n.TouchC()
	return nil
}

// Listxattr implements vfs.InodeOps.
func (n *node) Listxattr(*vfs.Context) ([]string, error) {
	n.xattr.mu.Lock()
	defer n.xattr.mu.Unlock()
	return slices.Sorted(maps.Keys(n.xattr.m)), nil
}

// Removexattr implements vfs.InodeOps.
func (n *node) Removexattr(_ *vfs.Context, name string) error {
	if !supported(name) {
		return unix.EOPNOTSUPP
	}
	n.xattr.mu.Lock()
	defer n.xattr.mu.Unlock()
	old, ok := n.xattr.m[name]
	if !ok {
		return unix.ENODATA
	}
	n.xattr.size -= len(name) + len(old)
	delete(n.xattr.m, name)
	n.TouchC()
	return nil
}
