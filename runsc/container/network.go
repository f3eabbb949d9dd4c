package container

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/control"
	"casemate/runsc/netns"
)

// networkNamespace returns the network namespace that a configuration asks for: the path
// of one that there is, or a new one. With neither it is the host's.
func networkNamespace(spec *specs.Spec) (path string, isNew bool) {
	if spec.Linux == nil {
		return "", false
	}
	for _, ns := range spec.Linux.Namespaces {
		if ns.Type == specs.NetworkNamespace {
			return ns.Path, ns.Path == ""
		}
	}
	return "", false
}

// ownNetwork is the network namespace that an engine prepares for the container: one that
// the configuration names, or that of its process on the host; "" if it is to have no network
// of its own.
func (c *Container) ownNetwork(conf *control.Container) string {
	path, isNew := networkNamespace(conf.Spec)
	switch {
	case conf.Shares[specs.NetworkNamespace] != "":
		return ""
	case isNew && !c.env.Conf.Rootless: // else nobody can put anything there
		return fmt.Sprintf("/proc/%d/ns/net", c.State.Init.PID)
	}
	return path
}

// takeNetwork takes over the network that an engine has prepared for the container: by
// hooks, or after create. It returns nil if there is none to take over.
func (c *Container) takeNetwork(spec *specs.Spec) (*netns.Network, []*os.File, error) {
	if c.State.NetNS == "" || c.env.Conf.Network != "sandbox" {
		return nil, nil, nil
	}
	n, sockets, err := netns.Take(c.State.NetNS, func(note string) { c.env.Log.Warn(note) })
	if _, isNew := networkNamespace(spec); err == nil && isNew {
		n.UpLoopback() // as runc does
	}
	return n, sockets, err
}
