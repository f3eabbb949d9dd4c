package boot

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/usermem"
)

// checkSysctls compares linux.sysctl with /proc/sys. The settings of the kernel are
// fixed, so one that asks for another value, or for one that there is not, is an error
// rather than a container that runs without what it was promised. Those of the
// network are not there yet and are only logged.
func (s *container) checkSysctls() error {
	if s.Spec.Linux == nil {
		return nil
	}
	for name, want := range s.Spec.Linux.Sysctl {
		if strings.HasPrefix(strings.ReplaceAll(name, "/", "."), "net.") {
			// Engines set some of these for every container.
			s.log.Warn("linux.sysctl is not applied: the sandbox's network has no such setting", "name", name, "value", want)
			continue
		}
		have, err := s.sysctl(name)
		if err == unix.ENOENT {
			return fmt.Errorf("linux.sysctl: %s does not exist in the sandbox", name)
		}
		if err != nil {
			return fmt.Errorf("linux.sysctl: reading %s: %w", name, err)
		}
		if !slices.Equal(strings.Fields(have), strings.Fields(want)) {
			return fmt.Errorf("linux.sysctl: %s cannot be set to %q: in the sandbox it is fixed at %q", name, want, strings.TrimSpace(have))
		}
	}
	return nil
}

// sysctl reads a setting. Its name is a path below /proc/sys with dots, or with
// slashes (sysctl(8)).
func (s *container) sysctl(name string) (string, error) {
	f, err := s.ctx.Open(vfs.Start{}, "/proc/sys/"+strings.ReplaceAll(name, ".", "/"), unix.O_RDONLY, 0)
	if err != nil {
		return "", err
	}
	defer f.DecRef()
	var buf [4096]byte
	seq := usermem.Kernel(buf[:])
	n, err := f.Read(s.ctx, &seq, 0)
	return string(buf[:max(n, 0)]), err
}
