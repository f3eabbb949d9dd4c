package goferfs

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
)

// maxXattr is the largest value or list of names (XATTR_SIZE_MAX).
const maxXattr = 65536

// Getxattr implements vfs.InodeOps.
func (n *node) Getxattr(_ *vfs.Context, name string) ([]byte, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, err := n.target()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, 256)
	size, err := n.fs.client.Getxattr(t, name, buf)
	if err == unix.ERANGE {
		buf = make([]byte, maxXattr)
		size, err = n.fs.client.Getxattr(t, name, buf)
	}
	if err != nil {
		return nil, err
	}
	return buf[:size], nil
}

// Listxattr implements vfs.InodeOps.
func (n *node) Listxattr(*vfs.Context) ([]string, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, err := n.target()
	if err != nil {
		return nil, err
	}
	buf := make([]byte, maxXattr)
	size, err := n.fs.client.Listxattr(t, buf)
	if err != nil {
		return nil, err
	}
	var names []string
	for start, i := 0, 0; i < size; i++ {
		if buf[i] == 0 {
			names = append(names, string(buf[start:i]))
			start = i + 1
		}
	}
	return names, nil
}

// Setxattr implements vfs.InodeOps.
func (n *node) Setxattr(_ *vfs.Context, name string, value []byte, flags int) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, err := n.target()
	if err != nil {
		return err
	}
	n.stale.Store(true)
	return n.fs.client.Setxattr(t, name, value, uint32(flags))
}

// Removexattr implements vfs.InodeOps.
func (n *node) Removexattr(_ *vfs.Context, name string) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	t, err := n.target()
	if err != nil {
		return err
	}
	n.stale.Store(true)
	return n.fs.client.Removexattr(t, name)
}
