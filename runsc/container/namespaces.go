package container

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/netns"
)

// namespacesOf are the namespaces that a configuration lists.
func namespacesOf(spec *specs.Spec) []specs.LinuxNamespace {
	if spec.Linux == nil {
		return nil
	}
	return spec.Linux.Namespaces
}

// lists reports whether a configuration lists a namespace of a type.
func lists(spec *specs.Spec, kind specs.LinuxNamespaceType) bool {
	return slices.ContainsFunc(namespacesOf(spec), func(ns specs.LinuxNamespace) bool { return ns.Type == kind })
}

// podAnnotations are those by which containerd and CRI-O say that a container is the first of
// a pod, or belongs into the sandbox of another one.
var podAnnotations = []struct{ kind, first, further, sandbox string }{
	{"io.kubernetes.cri.container-type", "sandbox", "container", "io.kubernetes.cri.sandbox-id"},
	{"io.kubernetes.cri-o.ContainerType", "sandbox", "container", "io.kubernetes.cri-o.SandboxID"},
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
// that of a container whose namespaces it shares (docker run --network container:NAME,
// podman run --pod). Those are named by the process that stands for the container, which itself
// is in none of them, or, the network, by the namespace that the container has taken it from.
func (e *Env) placeOf(spec *specs.Spec) (*place, error) {
	p := &place{joins: map[string]string{}}
	for _, a := range podAnnotations {
		switch spec.Annotations[a.kind] {
		case a.first:
			return p, nil
		case a.further:
			p.sandbox, p.pod = spec.Annotations[a.sandbox], true
		}
	}
	var all []*Container
	for _, ns := range namespacesOf(spec) {
		if ns.Path == "" {
			continue
		}
		if all == nil {
			var err error
			if all, err = e.List(); err != nil {
				return nil, err
			}
		}
		i := slices.IndexFunc(all, func(c *Container) bool { return c.has(&ns) && c.State.Init.Alive() })
		if i < 0 {
			continue
		}
		owner := &all[i].State
		if p.sandbox != "" && p.sandbox != owner.Sandbox {
			return nil, errOtherSandboxes
		}
		p.sandbox = owner.Sandbox
		p.joins[string(ns.Type)] = owner.ID
	}
	return p, nil
}

// has reports whether ns, which has a path, is a namespace of the container.
func (c *Container) has(ns *specs.LinuxNamespace) bool {
	if match := namespacePath.FindStringSubmatch(ns.Path); match != nil && match[1] == strconv.Itoa(c.State.Init.PID) {
		return true
	}
	if ns.Type != specs.NetworkNamespace || c.State.NetNS == "" {
		return false
	}
	same, err := netns.Same(ns.Path, c.State.NetNS)
	return err == nil && same
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
