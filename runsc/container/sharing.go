package container

import (
	"fmt"
	"os"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/control"
)

// podAnnotations are those by which containerd and CRI-O say that a container belongs into
// the sandbox of another one.
var podAnnotations = []struct{ kind, first, further, sandbox string }{
	{"io.kubernetes.cri.container-type", "sandbox", "container", "io.kubernetes.cri.sandbox-id"},
	{"io.kubernetes.cri-o.ContainerType", "sandbox", "container", "io.kubernetes.cri-o.SandboxID"},
}

// sharing finds out which sandbox a container is to join, "" if it is to have one of its
// own, and fills in what it shares with others there. An engine says so by annotations, or by
// the path of a namespace: one of another container's process, or its network.
func (e *Env) sharing(conf *control.Container) (sandbox string, err error) {
	spec := conf.Spec
	pod := ""
	for _, a := range podAnnotations {
		switch spec.Annotations[a.kind] {
		case a.first:
			return "", nil
		case a.further:
			pod = spec.Annotations[a.sandbox]
		}
	}
	sandbox = pod
	if spec.Linux == nil {
		return sandbox, nil
	}
	conf.Shares = map[specs.LinuxNamespaceType]string{}
	var others []*Container
	for i := range spec.Linux.Namespaces {
		ns := &spec.Linux.Namespaces[i]
		if ns.Path == "" {
			continue
		}
		if others == nil {
			if others, err = e.List(); err != nil {
				return "", err
			}
		}
		owner := e.owner(others, ns)
		switch {
		case owner == nil && pod != "":
			conf.Shares[ns.Type] = pod
		case owner == nil:
		case sandbox != "" && sandbox != owner.State.Sandbox:
			return "", fmt.Errorf("the namespaces that the container is to share are in the sandboxes of %s and %s: it can only be in one", sandbox, owner.State.Sandbox)
		default:
			sandbox = owner.State.Sandbox
			conf.Shares[ns.Type] = owner.State.ID
		}
	}
	return sandbox, nil
}

// owner finds the container that has a namespace, among others; nil if there is none.
func (e *Env) owner(others []*Container, ns *specs.LinuxNamespace) *Container {
	pid := 0
	if _, err := fmt.Sscanf(ns.Path, "/proc/%d/ns/", &pid); err != nil {
		pid = 0
	}
	network := ns.Type == specs.NetworkNamespace && e.Conf.Network == "sandbox"
	for _, c := range others {
		if (pid != 0 && pid == c.State.Init.PID || network && sameNamespace(ns.Path, c.State.NetNS)) && c.State.Init.Alive() {
			return c
		}
	}
	return nil
}

// sameNamespace reports whether two paths are those of one namespace (namespaces(7)); "" is
// that of none.
func sameNamespace(a, b string) bool {
	if a == "" || b == "" {
		return false
	}
	first, err := os.Stat(a)
	if err != nil {
		return false
	}
	second, err := os.Stat(b)
	return err == nil && os.SameFile(first, second)
}
