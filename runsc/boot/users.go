package boot

import (
	"errors"
	"fmt"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"casemate/runsc/bundle"
	"casemate/vfs/cred"
)

// userNamespace returns the user namespace that a configuration asks for: a new one below the
// initial one of have, or have itself (runtime-spec, config-linux.md, "User namespace
// mappings"). The ids outside are the host's, those that the files of the host have. For an
// ordinary user the gofer is in a user namespace itself, where the user is root already.
func (s *sandbox) userNamespace(spec *specs.Spec, have *cred.UserNamespace) (*cred.UserNamespace, error) {
	if spec.Linux == nil || s.Config.Rootless {
		return have, nil
	}
	isNew := false
	for _, ns := range spec.Linux.Namespaces {
		isNew = isNew || ns.Type == specs.UserNamespace && ns.Path == ""
	}
	if !isNew {
		return have, nil
	}
	if len(spec.Linux.UIDMappings) == 0 || len(spec.Linux.GIDMappings) == 0 {
		return nil, errors.New("user namespaces enabled, but no uid/gid mappings found")
	}
	return mapped(have, spec.Linux.UIDMappings, spec.Linux.GIDMappings)
}

// mapped returns a new user namespace with these mappings below the initial one of have.
func mapped(have *cred.UserNamespace, uids, gids []specs.LinuxIDMapping) (*cred.UserNamespace, error) {
	for have.Parent() != nil {
		have = have.Parent()
	}
	ns, err := cred.NewChild(cred.NewRoot(have))
	if err != nil {
		return nil, err
	}
	if err := ns.SetUIDMap(extents(uids)); err != nil {
		return nil, fmt.Errorf("uidMappings: %w", err)
	}
	if err := ns.SetGIDMap(extents(gids)); err != nil {
		return nil, fmt.Errorf("gidMappings: %w", err)
	}
	return ns, nil
}

// mountIDs is the mapping of the owners of an idmapped mount (runtime-spec, config.md, "Mounts"):
// its own, or the container's if it has the option alone; nil if m is not idmapped. All below
// the mount is mapped with it.
func (s *container) mountIDs(m *specs.Mount) (*cred.UserNamespace, error) {
	own := len(m.UIDMappings)+len(m.GIDMappings) > 0
	asked := slices.Contains(m.Options, "idmap") || slices.Contains(m.Options, "ridmap")
	switch {
	case !own && !asked:
		return nil, nil
	case !bundle.IsBind(m):
		return nil, errors.New("only bind mounts can be idmapped")
	case own && (len(m.UIDMappings) == 0 || len(m.GIDMappings) == 0):
		return nil, errors.New("an idmapped mount needs both uidMappings and gidMappings")
	case own:
		return mapped(s.userNS, m.UIDMappings, m.GIDMappings)
	case s.userNS.Parent() == nil:
		return nil, errors.New("an idmapped mount needs mappings: it has none, nor has the container")
	}
	return s.userNS, nil
}

func extents(mappings []specs.LinuxIDMapping) (lines []cred.IDMapExtent) {
	for _, m := range mappings {
		lines = append(lines, cred.IDMapExtent{First: m.ContainerID, ParentFirst: m.HostID, Count: m.Size})
	}
	return lines
}

// superuser returns the credentials of user 0 of ns, with all capabilities there.
func superuser(ns *cred.UserNamespace) (*cred.Credentials, error) {
	c, err := user(ns, 0, 0, nil)
	if err == nil {
		c.Permitted, c.Effective = cred.AllCaps, cred.AllCaps
	}
	return c, err
}

// user returns the credentials of a user in ns, without capabilities but the bounding set.
func user(ns *cred.UserNamespace, uid, gid uint32, more []uint32) (*cred.Credentials, error) {
	kuid, ok := ns.ToUID(uid)
	if !ok {
		return nil, fmt.Errorf("user %d is not mapped in the container's user namespace", uid)
	}
	var groups []cred.GID
	for _, id := range append([]uint32{gid}, more...) {
		kgid, ok := ns.ToGID(id)
		if !ok {
			return nil, fmt.Errorf("group %d is not mapped in the container's user namespace", id)
		}
		groups = append(groups, kgid)
	}
	return cred.New(kuid, groups[0], groups[1:], ns), nil
}
