package families

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/sentry/procfs"
)

// Sysctl returns the parameters net.* for procfs.Options.Sysctl.
func Sysctl(k *kernel.Kernel) *procfs.Sysctl {
	return &procfs.Sysctl{
		Names: Of(k, k.RootNamespaces().Net).IP.Sysctl.Names(),
		Get: func(ns *kernel.NetNamespace, name string) string {
			if p := Of(k, ns).IP.Sysctl.Lookup(name); p != nil {
				return p.String()
			}
			return ""
		},
		Set: func(ns *kernel.NetNamespace, name, value string) error {
			p := Of(k, ns).IP.Sysctl.Lookup(name)
			if p == nil {
				return unix.ENOENT
			}
			return p.Parse(value)
		},
	}
}
