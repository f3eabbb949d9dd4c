package container

import (
	"errors"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"casemate/runsc/cgroup"
	"casemate/runsc/config"
)

// makeGroup makes the container's control group on the host, and saves where it is before
// it is there. It returns nil without an error if there is to be none, and also, with a
// warning, where the host lets the caller have none and no limit depends on it.
func (c *Container) makeGroup(spec *specs.Spec) (*cgroup.Group, error) {
	e := c.env
	if e.Conf.IgnoreCgroups {
		return nil, c.save()
	}
	l := spec.Linux
	if l == nil {
		l = new(specs.Linux)
	}
	place, err := cgroup.PlaceOf(l.CgroupsPath, c.State.ID, e.Conf.SystemdCgroup)
	if err == nil {
		c.State.Cgroup = place
		if err := c.save(); err != nil {
			return nil, err
		}
		var group *cgroup.Group
		if group, err = cgroup.Create(place, l.Resources); err == nil {
			return group, nil
		}
	}
	denied := errors.Is(err, unix.EACCES) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EROFS)
	ordinary := denied && (e.Conf.Rootless || config.InUserNamespace())
	asked := limited(l.Resources)
	const without = "the sandbox is in no cgroup of its own, and its resources are not limited"
	switch {
	case ordinary && !asked:
		e.Log.Debug(without, "error", err) // an ordinary user has mostly none
	case ordinary, !asked && (denied || errors.Is(err, cgroup.ErrUnavailable)):
		e.Warn(without + ": " + err.Error())
	default:
		return nil, fmt.Errorf("%w (--ignore-cgroups goes on without)", err)
	}
	c.State.Cgroup = nil
	return nil, c.save()
}

// limited reports whether r asks for any limit.
func limited(r *specs.LinuxResources) bool {
	if r == nil {
		return false
	}
	return r.Memory != nil || r.CPU != nil || r.Pids != nil || r.BlockIO != nil || len(r.HugepageLimits) > 0 ||
		r.Network != nil || len(r.Rdma) > 0 || len(r.Unified) > 0
}
