package container

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/runsc/cgroup"
)

// makeGroup makes the host's control group of a container. It returns nil without an
// error if there is to be none, and also, with a warning, where the host lets the caller
// have none and no limit depends on it.
func (e *Env) makeGroup(id string, spec *specs.Spec) (*cgroup.Group, error) {
	if e.Conf.IgnoreCgroups {
		return nil, nil
	}
	l := spec.Linux
	if l == nil {
		l = new(specs.Linux)
	}
	group, err := cgroup.Create(l.CgroupsPath, id, l.Resources)
	if err == nil {
		return group, nil
	}
	denied := errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
	if e.Conf.Rootless && denied || (denied || errors.Is(err, cgroup.ErrUnavailable)) && !limited(l.Resources) {
		e.Warn("the sandbox is in no cgroup of its own, and its resources are not limited: " + err.Error())
		return nil, nil
	}
	return nil, fmt.Errorf("%w (--ignore-cgroups goes on without)", err)
}

// limited reports whether r asks for any limit.
func limited(r *specs.LinuxResources) bool {
	if r == nil {
		return false
	}
	return r.Memory != nil || r.CPU != nil || r.Pids != nil || r.BlockIO != nil || len(r.HugepageLimits) > 0 ||
		r.Network != nil || len(r.Rdma) > 0 || len(r.Unified) > 0
}
