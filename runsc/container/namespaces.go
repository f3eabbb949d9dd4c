package container

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// namespacesOf are the namespaces that a configuration lists.
func namespacesOf(spec *specs.Spec) []specs.LinuxNamespace {
	if spec.Linux == nil {
		return nil
	}
	return spec.Linux.Namespaces
}

// A place is where a container is made: a sandbox of its own if sandbox is "", else that of
// the container called so.
type place struct {
	sandbox string
	// pod says that annotations name the sandbox, whose network is the container's.
	pod bool
	// joins are the containers whose namespaces it shares, by the namespaces' types; all
	// are in the sandbox.
	joins map[string]string
}

var (
	errOtherSandboxes = errors.New("the namespaces of containers in different sandboxes cannot be joined")
	errHostPIDs       = errors.New("the host's processes cannot be seen in a sandbox: linux.namespaces must list a pid namespace, " +
		"new or of another container")
)

// namespacePath is the path of a process's namespace: who shares a container's names it so.
var namespacePath = regexp.MustCompile(`^/proc/([0-9]+)/(?:task/[0-9]+/)?ns/`)

// placeOf finds out where a container belongs: into the sandbox that annotations name, or into
// that of a container whose namespaces it shares (docker run --network container:NAME). Those
// are named by the process that stands for the container, which itself is in none of them.
func (e *Env) placeOf(id string, spec *specs.Spec) (*place, error) {
	p := &place{joins: map[string]string{}}
	if sandbox := sandboxOf(spec); sandbox != "" && sandbox != id {
		p.sandbox, p.pod = sandbox, true
	}
	var all []*Container
	for _, ns := range namespacesOf(spec) {
		match := namespacePath.FindStringSubmatch(ns.Path)
		if match == nil {
			continue
		}
		if all == nil {
			var err error
			if all, err = e.List(); err != nil {
				return nil, err
			}
		}
		pid, err := strconv.Atoi(match[1])
		if err != nil {
			return nil, fmt.Errorf("namespace %s: %w", ns.Path, err)
		}
		for _, c := range all {
			if c.State.Init.PID != pid || c.State.ID == id || !c.State.Init.Alive() {
				continue
			}
			if p.sandbox != "" && p.sandbox != c.State.Sandbox {
				return nil, errOtherSandboxes
			}
			p.sandbox = c.State.Sandbox
			p.joins[string(ns.Type)] = c.State.ID
		}
	}
	return p, nil
}

// checkPIDs refuses a configuration that has the container share the host's processes.
func (p *place) checkPIDs(spec *specs.Spec) error {
	for _, ns := range namespacesOf(spec) {
		if ns.Type == specs.PIDNamespace && (ns.Path == "" || p.pod || p.joins[string(ns.Type)] != "") {
			return nil
		}
	}
	if p.pod {
		return nil
	}
	return errHostPIDs
}

// networkOf finds out which network a container has in the sandbox of another one, first.
func (p *place) networkOf(first *Container, spec *specs.Spec) (network, error) {
	if p.pod || p.joins[string(specs.NetworkNamespace)] != "" {
		return sharedNetwork, nil
	}
	n, err := networkOf(first.env.Conf, spec)
	switch {
	case err != nil:
		return "", err
	case n == hostNetwork && first.State.Network == hostNetwork:
		return sharedNetwork, nil
	case n == hostNetwork:
		return "", fmt.Errorf("a container that joins the sandbox of %s cannot have the host's network", first.State.ID)
	}
	return n, nil
}
