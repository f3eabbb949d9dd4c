package boot

import (
	"fmt"
	"path"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/devfs"
)

// makeDevices makes the default devices and symbolic links in /dev (runtime-spec,
// config-linux.md), and those that the spec asks for, if /dev is the container's own.
func (s *container) makeDevices() error {
	own := false
	for _, m := range s.Spec.Mounts {
		own = own || path.Clean(m.Destination) == "/dev" && m.Type == "tmpfs"
	}
	if !own {
		return nil
	}
	for _, d := range devfs.Defaults {
		if err := s.mknod("/dev/"+d.Name, unix.S_IFCHR|d.Mode, vfs.MakeDev(d.Major, d.Minor)); err != nil {
			return err
		}
	}
	for _, l := range [...][2]string{
		{"/dev/fd", "/proc/self/fd"}, {"/dev/stdin", "/proc/self/fd/0"}, {"/dev/stdout", "/proc/self/fd/1"},
		{"/dev/stderr", "/proc/self/fd/2"}, {"/dev/ptmx", "pts/ptmx"}, {"/dev/core", "/proc/kcore"},
	} {
		if err := s.ctx.Symlink(l[1], vfs.Start{}, l[0]); err != nil && err != unix.EEXIST {
			return fmt.Errorf("%s: %w", l[0], err)
		}
	}
	if s.Spec.Linux == nil {
		return nil
	}
	for i := range s.Spec.Linux.Devices {
		if err := s.specDevice(&s.Spec.Linux.Devices[i]); err != nil {
			return err
		}
	}
	return nil
}

func (s *container) mknod(name string, mode uint32, dev vfs.Dev) error {
	old := s.ctx.FS.SetUmask(0)
	defer s.ctx.FS.SetUmask(old)
	if err := s.ctx.Mknod(vfs.Start{}, name, mode, dev); err != nil && err != unix.EEXIST {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// specDevice makes a device of the spec. What has no driver in the sandbox gives
// ENXIO when it is opened.
func (s *container) specDevice(d *specs.LinuxDevice) error {
	mode := uint32(0o666)
	if d.FileMode != nil {
		mode = uint32(*d.FileMode) & 0o7777
	}
	switch d.Type {
	case "c", "u":
		mode |= unix.S_IFCHR
	case "b":
		mode |= unix.S_IFBLK
	case "p":
		mode |= unix.S_IFIFO
	default:
		return fmt.Errorf("device %s has type %q", d.Path, d.Type)
	}
	dir, err := s.mountPoint(path.Dir(d.Path), true)
	if err != nil {
		return fmt.Errorf("%s: %w", d.Path, err)
	}
	dir.DecRef()
	if err := s.mknod(d.Path, mode, vfs.MakeDev(uint32(d.Major), uint32(d.Minor))); err != nil {
		return err
	}
	if d.UID == nil && d.GID == nil {
		return nil
	}
	p, err := s.ctx.Walk(vfs.Start{}, d.Path, 0)
	if err != nil {
		return err
	}
	defer p.DecRef()
	a := vfs.SetAttr{Ctime: s.vfs.Now()}
	if d.UID != nil {
		a.Mask |= vfs.AttrUID
		a.UID = cred.UID(*d.UID)
	}
	if d.GID != nil {
		a.Mask |= vfs.AttrGID
		a.GID = cred.GID(*d.GID)
	}
	return s.ctx.Setattr(p, &a)
}
