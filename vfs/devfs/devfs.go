// Package devfs has the devices that are nothing but memory: null(4), zero(4),
// full(4), random(4). A /dev directory is a tmpfs with device nodes; opening one
// finds its driver by number.
package devfs

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
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
