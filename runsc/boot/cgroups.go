package boot

import (
	"path"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/sentry/cgroupfs"
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// legacyCgroups reports whether what the spec calls a mount of cgroup is one of version 1:
// that is so where the host has it mounted.
func (s *container) legacyCgroups() bool {
	for _, h := range s.Hierarchies {
		if h.Dir != "" {
			return true
		}
	}
	return false
}

// cgroupType is cgroup or cgroup2 for the container's own group.
func (s *container) cgroupType(name string) *cgroupfs.Type {
	return &cgroupfs.Type{TypeName: name, Kernel: s.kernel, Group: s.cgroup}
}

// mountLegacyCgroups mounts every hierarchy of version 1 that the host has mounted, in
// directories of a tmpfs, as runc does: a controller that shares its hierarchy with others has
// a symbolic link.
func (s *container) mountLegacyCgroups(m *specs.Mount, r *mountRequest) error {
	dir := path.Clean("/" + m.Destination)
	base := specs.Mount{Destination: dir, Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "nodev", "noexec", "mode=755"}}
	if err := s.mount(-1, &base); err != nil {
		return err
	}
	for i := range s.Hierarchies {
		h := &s.Hierarchies[i]
		if h.Dir == "" {
			continue
		}
		if err := s.mountHierarchy(h, path.Join(dir, h.Dir), m.Source, r.flags); err != nil {
			return err
		}
		for c := range strings.SplitSeq(h.Controllers, ",") {
			if c == h.Dir || strings.Contains(c, "=") {
				continue
			}
			if err := s.ctx.Symlink(h.Dir, vfs.Start{}, path.Join(dir, c)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *container) mountHierarchy(h *kernel.Hierarchy, dir, source string, flags uint32) error {
	sb, err := s.cgroupType("cgroup").Mount(s.ctx, source, flags&unix.MS_RDONLY, h.Controllers)
	if err != nil {
		return err
	}
	at, err := s.mountPoint(dir, true)
	if err != nil {
		return err
	}
	defer at.DecRef()
	_, err = s.vfs.Attach(sb, at, vfs.MountOptions{Flags: flags})
	return err
}
