package container

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

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

// takeNetwork takes over the network that an engine has prepared for the container: by
// hooks or after create, in the namespace of its process on the host, or in one that the
// configuration names. It returns nil if there is none to take over.
func (c *Container) takeNetwork(spec *specs.Spec) (*netns.Network, []*os.File, error) {
	path, isNew := networkNamespace(spec)
	conf := c.env.Conf
	switch {
	case conf.Network != "sandbox" || c.State.Sandbox != c.State.ID:
		return nil, nil, nil
	case path == "" && (!isNew || conf.Rootless):
		return nil, nil, nil // nobody can have put anything there
	case path == "":
		path = fmt.Sprintf("/proc/%d/ns/net", c.State.Sentry.PID)
	}
	n, sockets, err := netns.Take(path, func(note string) { c.env.Log.Warn(note) })
	if err == nil && isNew {
		n.UpLoopback() // as runc does
	}
	return n, sockets, err
}
