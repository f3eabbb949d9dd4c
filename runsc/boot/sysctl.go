package boot

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/procfs"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// setSysctls applies linux.sysctl by /proc/sys. A setting that the sandbox does not
// have, or that has another value and cannot be changed here, is an error rather than a
// container that runs without what it was promised.
func (s *container) setSysctls() error {
	if s.Spec.Linux == nil || len(s.Spec.Linux.Sysctl) == 0 {
		return nil
	}
	// The container may have no /proc, or /proc/sys may be read-only.
	t, err := s.vfs.Type("proc")
	if err != nil {
		return err
	}
	if proc, ok := t.(*procfs.Type); ok {
		t = proc.Of(&s.namespaces)
	}
	sb, err := t.Mount(s.ctx, "proc", 0, "")
	if err != nil {
		return err
	}
	ns := s.vfs.NewNamespace(s.userNS, sb, 0)
	defer ns.DecRef()
	ctx := vfs.NewContext(s.ctx.Cred, ns)
	for _, name := range slices.Sorted(maps.Keys(s.Spec.Linux.Sysctl)) {
		if err := setSysctl(ctx, name, s.Spec.Linux.Sysctl[name]); err != nil {
			return err
		}
	}
	return nil
}

// setSysctl sets one setting by the procfs that is ctx's root.
func setSysctl(ctx *vfs.Context, name, value string) error {
	path := "/sys/" + sysctlPath(name)
	if path == "/sys/kernel/hostname" {
		return fmt.Errorf("sysctl %q is not allowed as it conflicts with the OCI %q field", name, "hostname")
	}
	f, err := ctx.Open(vfs.Start{}, path, unix.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open /proc%s: %w", path, err)
	}
	defer f.DecRef()
	err = writeAll(ctx, f, value)
	if err != unix.EIO {
		if err != nil {
			return fmt.Errorf("write /proc%s: %w", path, err)
		}
		return nil
	}
	var buf [4096]byte
	seq := usermem.Kernel(buf[:])
	n, err := f.Read(ctx, &seq, 0)
	if err != nil {
		return fmt.Errorf("read /proc%s: %w", path, err)
	}
	if have := string(buf[:n]); !slices.Equal(strings.Fields(have), strings.Fields(value)) {
		return fmt.Errorf("sysctl %q cannot be set to %q: in the sandbox it is fixed at %q", name, value, strings.TrimSpace(have))
	}
	return nil
}

// sysctlPath is the path of a setting below /proc/sys. In its name dots separate, and
// slashes stand for dots, unless a slash comes first (sysctl(8)).
func sysctlPath(name string) string {
	if i := strings.IndexAny(name, "./"); i < 0 || name[i] == '/' {
		return name
	}
	return strings.NewReplacer(".", "/", "/", ".").Replace(name)
}
