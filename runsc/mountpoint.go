package main

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/runsc/control"
)

// makeMountPoint makes a path in the tree at root, with the directories on the way, if it
// is missing. Symbolic links in the tree are followed, as if root were the root directory.
func makeMountPoint(root string, p control.MountPoint) error {
	dir, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	parts := strings.Split(strings.Trim(path.Clean("/"+p.Path), "/"), "/")
	for i, name := range parts {
		at := strings.Join(parts[:i+1], "/")
		switch fd, err := openIn(dir, at, unix.O_PATH); err {
		case nil:
			unix.Close(fd)
			continue
		case unix.ENOENT:
		default:
			return err
		}
		parent, err := openIn(dir, "./"+strings.Join(parts[:i], "/"), unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		if p.File && i == len(parts)-1 {
			var fd int
			if fd, err = unix.Openat(parent, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o755); err == nil {
				unix.Close(fd)
			}
		} else {
			err = unix.Mkdirat(parent, name, 0o755)
		}
		unix.Close(parent)
		if err != nil && err != unix.EEXIST {
			return err
		}
	}
	return nil
}

// openIn opens a path below the directory dir, which is the root for it (openat2(2)).
func openIn(dir int, name string, flags uint64) (int, error) {
	return unix.Openat2(dir, name, &unix.OpenHow{Flags: flags | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS})
}
