// Package devfs has the devices that are nothing but memory — null(4), zero(4),
// full(4), random(4) — and fills a /dev directory. The directory itself is a
// tmpfs with device nodes; opening one finds its driver by number.
package devfs

import (
	"casemate/platform/memfile"
	"casemate/vfs"
	"casemate/vfs/tmpfs"

	"golang.org/x/sys/unix"
)

// The numbers of the devices (Linux's admin-guide/devices.txt).
const (
	memMajor = 1
	ttyMajor = 5

	nullMinor    = 3
	zeroMinor    = 5
	fullMinor    = 7
	randomMinor  = 8
	urandomMinor = 9
)

// Register makes v open the memory devices. Shared mappings of /dev/zero take
// their memory from mem.
func Register(v *vfs.VFS, mem *memfile.File) {
	fs := tmpfs.New(v, mem, tmpfs.Options{Mode: 0o755})
	d := &driver{fs: fs, mount: v.NewKernelMount(fs.Superblock())}
	for _, minor := range []uint32{nullMinor, zeroMinor, fullMinor, randomMinor, urandomMinor} {
		v.RegisterDriver(unix.S_IFCHR, memMajor, minor, minor, d)
	}
}

// A driver opens the memory devices.
type driver struct {
	fs    *tmpfs.FS // of shared mappings of /dev/zero
	mount *vfs.Mount
}

// OpenDevice implements vfs.Driver.
func (d *driver) OpenDevice(_ *vfs.Context, _ *vfs.File, dev vfs.Dev) (vfs.FileOps, error) {
	switch dev.Minor() {
	case nullMinor:
		return null{}, nil
	case zeroMinor:
		return &zero{driver: d}, nil
	case fullMinor:
		return full{}, nil
	}
	return random{}, nil
}

// Populate makes the usual names in the directory /dev that at is: the devices
// that every container has, and the links to /proc/self/fd. Names that exist stay as they are.
func Populate(ctx *vfs.Context, at vfs.Path) error {
	start := vfs.Start{Path: at}
	umask := ctx.FS.SetUmask(0)
	defer ctx.FS.SetUmask(umask)
	for _, n := range []struct {
		name         string
		major, minor uint32
	}{
		{"null", memMajor, nullMinor}, {"zero", memMajor, zeroMinor}, {"full", memMajor, fullMinor},
		{"random", memMajor, randomMinor}, {"urandom", memMajor, urandomMinor}, {"tty", ttyMajor, 0},
	} {
		err := ctx.Mknod(start, n.name, unix.S_IFCHR|0o666, vfs.MakeDev(n.major, n.minor))
		if err != nil && err != unix.EEXIST {
			return err
		}
	}
	for _, l := range [][2]string{
		{"fd", "/proc/self/fd"}, {"stdin", "/proc/self/fd/0"}, {"stdout", "/proc/self/fd/1"},
		{"stderr", "/proc/self/fd/2"}, {"ptmx", "pts/ptmx"},
	} {
		if err := ctx.Symlink(l[1], start, l[0]); err != nil && err != unix.EEXIST {
			return err
		}
	}
	return nil
}
