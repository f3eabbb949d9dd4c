package families

import (
	"casemate/sentry/kernel"
	"casemate/sentry/procfs"
)

// Sysctl returns the parameters net.* for procfs.Options.Sysctl.
func Sysctl(k *kernel.Kernel) *procfs.Sysctl {
	return &procfs.Sysctl{
		List: func(ns *kernel.NetNamespace, prefix string) []string { return Of(k, ns).IP.Sysctl.List(prefix) },
		Get: func(ns *kernel.NetNamespace, name string) (string, bool) {
			return Of(k, ns).IP.Sysctl.Read(name)
		},
		Set: func(ns *kernel.NetNamespace, name, value string) error {
			return Of(k, ns).IP.Sysctl.Write(name, value)
		},
	}
}
