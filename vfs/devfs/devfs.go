// Package devfs is the memory devices, mem(4): null, zero, full, random, urandom.
package devfs

import (
	"crypto/rand"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/usermem"
)

// Minor numbers of major number 1 (Documentation/admin-guide/devices.txt).
const (
	majorMem     = 1
	minorNull    = 3
	minorZero    = 5
	minorFull    = 7
	minorRandom  = 8
	minorURandom = 9
)

// A Device is a device that every container has.
type Device struct {
	Name         string
	Major, Minor uint32
	Mode         uint32
}

// Defaults are the devices of runtime-spec, config-linux.md, "Default Devices",
// but for console and ptmx, which are not files of their own.
var Defaults = []Device{
	{"null", majorMem, minorNull, 0o666},
	{"zero", majorMem, minorZero, 0o666},
	{"full", majorMem, minorFull, 0o666},
	{"random", majorMem, minorRandom, 0o666},
	{"urandom", majorMem, minorURandom, 0o666},
	{"tty", 5, 0, 0o666},
}

// Register makes v open the memory devices.
func Register(v *vfs.VFS) {
	v.RegisterDriver(unix.S_IFCHR, majorMem, minorNull, minorNull, driver{null{}})
	v.RegisterDriver(unix.S_IFCHR, majorMem, minorZero, minorZero, driver{zero{}})
	v.RegisterDriver(unix.S_IFCHR, majorMem, minorFull, minorFull, driver{full{}})
	v.RegisterDriver(unix.S_IFCHR, majorMem, minorRandom, minorURandom, driver{random{}})
}

// A driver opens a device that has no state.
type driver struct{ ops vfs.FileOps }

// OpenDevice implements vfs.Driver.
func (d driver) OpenDevice(*vfs.Context, *vfs.File, vfs.Dev) (vfs.FileOps, error) { return d.ops, nil }

// A device can be sought anywhere, which is nowhere.
type device struct{ vfs.FileDefaults }

// Seek implements vfs.FileOps.
func (device) Seek(*vfs.Context, *vfs.File, int64, int) (int64, error) { return 0, nil }

// discard takes all of src.
func discard(src *usermem.Seq) (int, error) {
	n := src.Len()
	src.Skip(n)
	return int(n), nil
}

// fill moves bytes that make produces to all of dst.
func fill(dst *usermem.Seq, make func(p []byte)) (int, error) {
	var buf [4096]byte
	total := 0
	for dst.Len() > 0 {
		p := buf[:min(dst.Len(), uint64(len(buf)))]
		make(p)
		n, err := dst.CopyOut(p)
		total += n
		if err != nil {
			if total > 0 {
				break
			}
			return 0, err
		}
	}
	return total, nil
}

type null struct{ device }

// Read implements vfs.FileOps: it is at its end.
func (null) Read(*vfs.Context, *vfs.File, *usermem.Seq, int64, uint32) (int, error) { return 0, nil }

// Write implements vfs.FileOps.
func (null) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	return discard(src)
}

type zero struct{ device }

// Read implements vfs.FileOps.
func (zero) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	n, err := dst.Zero(dst.Len())
	if n > 0 {
		err = nil
	}
	return int(n), err
}

// Write implements vfs.FileOps.
func (zero) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	return discard(src)
}

type full struct{ zero }

// Write implements vfs.FileOps.
func (full) Write(*vfs.Context, *vfs.File, *usermem.Seq, int64, uint32) (int, error) {
	return 0, unix.ENOSPC
}

type random struct{ device }

// Read implements vfs.FileOps.
func (random) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	return fill(dst, func(p []byte) { rand.Read(p) })
}

// Write implements vfs.FileOps. The host's generator needs no entropy of ours.
func (random) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	return discard(src)
}
