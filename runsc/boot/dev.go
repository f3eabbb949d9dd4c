package boot

import (
	"fmt"
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/devfs"
	"casemate/vfs/tmpfs"
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

// sysfsType is sysfs as mount(2) knows it.
type sysfsType struct{ *sandbox }

// Name implements vfs.FSType.
func (sysfsType) Name() string { return "sysfs" }

// Flags implements vfs.FSType.
func (sysfsType) Flags() uint32 { return vfs.SBUserMount }

// Mount implements vfs.FSType: a fixed tree of what programs look for. Options are
// ignored, as Linux does.
func (s sysfsType) Mount(_ *vfs.Context, source string, _ uint32, _ string) (*vfs.Superblock, error) {
	sb := tmpfs.New(s.vfs, s.memory, tmpfs.Options{Name: "sysfs", Source: source, Mode: 0o555}).Superblock()
	ns := s.vfs.NewNamespace(s.userNS, sb, 0)
	defer ns.DecRef()
	ctx := vfs.NewContext(cred.NewRoot(s.userNS), ns)
	cpus := "0\n"
	if s.host.cpus > 1 {
		cpus = fmt.Sprintf("0-%d\n", s.host.cpus-1)
	}
	files := map[string]string{
		"devices/system/cpu/online": cpus, "devices/system/cpu/possible": cpus, "devices/system/cpu/present": cpus,
		"devices/system/node/online": "0\n", "devices/system/node/node0/cpulist": cpus,
		"kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
	}
	dirs := []string{
		"block", "bus", "class/net", "dev/block", "dev/char", "devices/system/cpu", "devices/system/node/node0", "firmware",
		"fs/cgroup", "kernel/mm/transparent_hugepage", "module", "power",
	}
	for i := range s.host.cpus {
		dirs = append(dirs, fmt.Sprintf("devices/system/cpu/cpu%d", i))
	}
	for _, d := range dirs {
		at := ""
		for part := range strings.SplitSeq(d, "/") {
			at += "/" + part
			if err := ctx.Mkdir(vfs.Start{}, at, 0o755); err != nil && err != unix.EEXIST {
				return nil, err
			}
		}
	}
	for name, text := range files {
		f, err := ctx.Open(vfs.Start{}, "/"+name, unix.O_CREAT|unix.O_WRONLY, 0o444)
		if err != nil {
			return nil, err
		}
		err = writeAll(ctx, f, text)
		f.DecRef()
		if err != nil {
			return nil, err
		}
	}
	return sb, nil
}
