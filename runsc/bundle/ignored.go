package bundle

import (
	"fmt"
	"path"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Ignore takes out of spec what has no meaning in a sandbox, or none that this runtime
// knows, and that runtimes may go on without. It returns a warning for each.
func Ignore(spec *specs.Spec) (warnings []string) {
	ignore := func(format string, args ...any) { warnings = append(warnings, fmt.Sprintf(format, args...)) }
	p := spec.Process
	if unknown := unknownCapabilities(p.Capabilities); len(unknown) > 0 {
		ignore("ignoring unknown or unavailable capabilities: %v", unknown)
	}
	if p.ApparmorProfile != "" {
		ignore("ignoring process.apparmorProfile %q: AppArmor of the host does not see what runs in a sandbox", p.ApparmorProfile)
		p.ApparmorProfile = ""
	}
	if p.SelinuxLabel != "" {
		ignore("ignoring process.selinuxLabel %q: SELinux of the host does not see what runs in a sandbox", p.SelinuxLabel)
		p.SelinuxLabel = ""
	}
	for i := range spec.Mounts {
		if m := &spec.Mounts[i]; !path.IsAbs(m.Destination) {
			ignore("mount destination %s is not absolute: it is taken as one below the root", m.Destination)
			m.Destination = path.Clean("/" + m.Destination)
		}
	}
	if l := spec.Linux; l != nil {
		if l.MountLabel != "" {
			ignore("ignoring linux.mountLabel %q: there are no security labels in a sandbox", l.MountLabel)
			l.MountLabel = ""
		}
		if l.IntelRdt != nil {
			ignore("ignoring linux.intelRdt")
			l.IntelRdt = nil
		}
	}
	return warnings
}

// unknownCapabilities takes those out that do not exist.
func unknownCapabilities(c *specs.LinuxCapabilities) (unknown []string) {
	if c == nil {
		return nil
	}
	for _, set := range []*[]string{&c.Bounding, &c.Effective, &c.Inheritable, &c.Permitted, &c.Ambient} {
		var known []string
		for _, name := range *set {
			switch {
			case slices.Contains(capabilities, name):
				known = append(known, name)
			case !slices.Contains(unknown, name):
				unknown = append(unknown, name)
			}
		}
		*set = known
	}
	slices.Sort(unknown)
	return unknown
}
