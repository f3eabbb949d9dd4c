package families

import (
	"casemate/sentry/kernel"
	"casemate/sentry/procfs"
)

// Sysctl returns the parameters net.* for procfs.Options.Sysctl.
func Sysctl(k *kernel.Kernel) *procfs.Sysctl {
	return &procfs.Sysctl{
		Names: Of(k, k.RootNamespaces().Net).IP.Sysctl.Names(),
		Get: func(ns *kernel.NetNamespace, name string) string {
			v, _ := Of(k, ns).IP.Sysctl.Read(name)
			return v
		},
		Set: func(ns *kernel.NetNamespace, name, value string) error {
			return Of(k, ns).IP.Sysctl.Write(name, value)
		},
	}
}
