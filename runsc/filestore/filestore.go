// Package filestore makes the files on the host's disk that hold what a sandbox writes
// to an overlay. They have no name: nothing of them is left when the sandbox ends,
// however it does.
package filestore

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Create makes a file in the file system of the directory dir.
func Create(dir string) (*os.File, error) {
	fd, err := unix.Open(dir, unix.O_TMPFILE|unix.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), "filestore"), nil
	}
	// Not every file system can do that; directories are refused with EISDIR by kernels
	// that do not know it.
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return nil, fmt.Errorf("making a file store in %s: %w", dir, err)
	}
	f, err := os.CreateTemp(dir, ".runsc.filestore.")
	if err != nil {
		return nil, fmt.Errorf("making a file store in %s: %w", dir, err)
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, fmt.Errorf("making a file store in %s: %w", dir, err)
	}
	return f, nil
}
