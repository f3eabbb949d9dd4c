package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/config"
	"casemate/runsc/netns"
)

// A network is what a container's programs have of the host's network.
type network string

const (
	noNetwork     network = "none"    // nothing
	takenNetwork  network = "sandbox" // what an engine has prepared in a namespace, taken over at start
	hostNetwork   network = "host"    // sockets of the host
	sharedNetwork network = "shared"  // that of another container in the sandbox
)

// errHostNetwork says that a flag forbids what the configuration asks for.
var errHostNetwork = errors.New("the configuration asks for the host's network, which --allow-host-network=false forbids")

// networkNamespace returns the network namespace that a configuration asks for: the path
// of one that there is, or a new one. With neither it is the host's.
func networkNamespace(spec *specs.Spec) (path string, isNew bool) {
	for _, ns := range namespacesOf(spec) {
		if ns.Type == specs.NetworkNamespace {
			return ns.Path, ns.Path == ""
		}
	}
	return "", false
}

// networkOf finds out which network the first container of a sandbox has.
func networkOf(conf *config.Config, spec *specs.Spec) (network, error) {
	if conf.Network != "sandbox" {
		return network(conf.Network), nil
	}
	path, isNew := networkNamespace(spec)
	switch {
	case isNew && conf.Rootless:
		return noNetwork, nil // nobody can have put anything there
	case isNew:
		return takenNetwork, nil
	}
	if path != "" {
		if own, err := netns.Same(path, "/proc/self/ns/net"); err != nil || !own {
			return takenNetwork, err
		}
	}
	if !conf.AllowHostNetwork {
		return "", errHostNetwork
	}
	return hostNetwork, nil
}

// findNetwork notes which namespace of the host has the network that the container is to take
// over: that of the process which stands for the container, or one that the configuration
// names.
func (c *Container) findNetwork(spec *specs.Spec) {
	if c.State.Network != takenNetwork {
		return
	}
	path, isNew := networkNamespace(spec)
	if isNew {
		path = fmt.Sprintf("/proc/%d/ns/net", c.State.Init.PID)
	}
	c.State.NetNS = path
}

// takeNetwork takes over the network that an engine has prepared for the container, by hooks or
// after create. It returns nil if there is none to take over.
func (c *Container) takeNetwork(spec *specs.Spec) (*netns.Network, []*os.File, error) {
	if c.State.NetNS == "" {
		return nil, nil, nil
	}
	n, sockets, err := netns.Take(c.State.NetNS, &netns.Options{
		GSO: c.env.Conf.GSO, GRO: c.env.Conf.GRO, Channels: c.env.Conf.Channels, XDP: c.env.Conf.XDP, Note: c.env.Warn,
	})
	if err != nil {
		return nil, nil, err
	}
	if _, isNew := networkNamespace(spec); isNew {
		n.UpLoopback() // as runc does
	} else if err := c.noteNetwork(n); err != nil {
		// It is given back when the container is deleted.
		c.env.Log.Warn("what the network namespace had will not come back", "error", err)
	}
	return n, sockets, nil
}

// networkFile has what was taken of a namespace that the sandbox does not end with.
func (c *Container) networkFile() string { return filepath.Join(c.dir, "network.json") }

func (c *Container) noteNetwork(n *netns.Network) error {
	data, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return os.WriteFile(c.networkFile(), data, 0o600)
}

// giveBackNetwork gives a namespace back what was taken of it. The sandbox has ended.
func (c *Container) giveBackNetwork() {
	data, err := os.ReadFile(c.networkFile())
	if err != nil {
		return // nothing was taken
	}
	var n netns.Network
	if err = json.Unmarshal(data, &n); err == nil {
		err = n.GiveBack(c.State.NetNS)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) { // the namespace may be gone
		c.env.Log.Warn("the network namespace has not got back all that it had", "namespace", c.State.NetNS, "error", err)
	}
}
