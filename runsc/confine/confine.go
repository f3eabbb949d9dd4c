// Package confine shuts runsc's own processes in: it takes away the host's file
// system and capabilities that they do not need.
package confine

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// EmptyRoot mounts an empty tmpfs over dir, in the mount namespace of the caller,
// which must be its own, and makes no mount of it reach the host. EnterRoot moves
// into it.
func EmptyRoot(dir string) error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SLAVE, ""); err != nil {
		return fmt.Errorf("cutting the mounts off from the host's: %w", err)
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "mode=755"); err != nil {
		return fmt.Errorf("mounting a new root on %s: %w", dir, err)
	}
	return nil
}

// EnterRoot makes the mount at dir the root of the process, read-only, and
// detaches all else (pivot_root(2)).
func EnterRoot(dir string) error {
	if err := unix.Chdir(dir); err != nil {
		return fmt.Errorf("entering the new root: %w", err)
	}
	if err := unix.PivotRoot(".", "."); err != nil {
		return fmt.Errorf("pivoting into the new root: %w", err)
	}
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fmt.Errorf("detaching the old root: %w", err)
	}
	flags := uintptr(unix.MS_REMOUNT | unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC)
	if err := unix.Mount("", "/", "", flags, ""); err != nil {
		return fmt.Errorf("making the new root read-only: %w", err)
	}
	return nil
}

// Capabilities leaves the process, all its threads, at most the capabilities in
// the set keep, a mask by number, and sets no_new_privs. The process is not
// dumpable any more: no other may trace it or read its memory, and it leaves no
// core file with what its containers had in memory.
func Capabilities(keep uint64) error {
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up to be dumpable: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("setting no_new_privs: %w", err)
	}
	if err := capset(keep); err != nil {
		return fmt.Errorf("dropping capabilities: %w", err)
	}
	return nil
}
