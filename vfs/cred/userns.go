package cred

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A UID is a user id as the kernel keeps it: in the initial user namespace of
// the sandbox. What an application passes and sees is the id in its own user
// namespace; UserNamespace translates.
type UID uint32

// A GID is a group id as the kernel keeps it.
type GID uint32

const (
	// NoUID and NoGID are the ids that nobody can have: (uid_t)-1.
	NoUID UID = 0xffffffff
	NoGID GID = 0xffffffff
	// OverflowUID and OverflowGID are what an application sees in place of an id
	// that has no mapping in its user namespace (/proc/sys/kernel/overflowuid).
	OverflowUID = 65534
	OverflowGID = 65534

	// RootUID and RootGID are the ids of the sandbox's superuser.
	RootUID UID = 0
	RootGID GID = 0
)

// MaxIDMapExtents is how many lines uid_map and gid_map may have
// (user_namespaces(7)).
const MaxIDMapExtents = 340

// MaxUserNamespaceLevel is how deep user namespaces may nest below the initial
// one; clone(2) gives ENOSPC beyond.
const MaxUserNamespaceLevel = 32

// An IDMapExtent is one line of uid_map or gid_map: Count ids that begin at
// First inside the namespace and at ParentFirst in the parent namespace.
type IDMapExtent struct {
	First, ParentFirst, Count uint32
}

// kernelExtent maps ids in a namespace to kernel ids.
type kernelExtent struct{ first, kernel, count uint32 }

// An idMap is one namespace's map of one kind of id. It is written once.
type idMap struct {
	lines  []IDMapExtent
	kernel []kernelExtent
}

func (m *idMap) toKernel(id uint32) (uint32, bool) {
	if m == nil {
		return 0, false
	}
	for _, e := range m.kernel {
		if id-e.first < e.count {
			return e.kernel + (id - e.first), true
		}
	}
	return 0, false
}

func (m *idMap) fromKernel(id uint32) (uint32, bool) {
	if m == nil {
		return 0, false
	}
	for _, e := range m.kernel {
		if id-e.kernel < e.count {
			return e.first + (id - e.kernel), true
		}
	}
	return 0, false
}

// A UserNamespace is a user namespace, user_namespaces(7). Lookups take no lock.
type UserNamespace struct {
	// ID is the number by which /proc/PID/ns/user shows it.
	ID uint64

	parent *UserNamespace
	level  int
	owner  UID
	group  GID

	uids, gids atomic.Pointer[idMap]

	mu        sync.Mutex
	setgroups bool // setgroups(2) is allowed here; guarded by mu
}

// NewRootUserNamespace returns an initial user namespace, in which every id but
// (uid_t)-1 is itself.
func NewRootUserNamespace() *UserNamespace {
	ns := &UserNamespace{ID: initialUserNSID, setgroups: true}
	identity := &idMap{
		lines:  []IDMapExtent{{0, 0, 0xffffffff}},
		kernel: []kernelExtent{{0, 0, 0xffffffff}},
	}
	ns.uids.Store(identity)
	ns.gids.Store(identity)
	return ns
}

// NewChild returns a new namespace below the one of c, owned by c's effective
// ids, without mappings. ENOSPC if it would be nested too deep, EPERM if c's
// effective ids have no mapping in c's own namespace.
func NewChild(c *Credentials) (*UserNamespace, error) {
	parent := c.UserNS
	if parent.level >= MaxUserNamespaceLevel {
		return nil, unix.ENOSPC
	}
	if _, ok := parent.FromUID(c.EUID); !ok {
		return nil, unix.EPERM
	}
	if _, ok := parent.FromGID(c.EGID); !ok {
		return nil, unix.EPERM
	}
	parent.mu.Lock()
	defer parent.mu.Unlock()
	return &UserNamespace{
		ID: NextNamespaceID(), parent: parent, level: parent.level + 1, owner: c.EUID, group: c.EGID,
		setgroups: parent.setgroups,
	}, nil
}

// Parent is the namespace in which ns was made; nil for the initial one.
func (ns *UserNamespace) Parent() *UserNamespace { return ns.parent }

// Owner is the effective user id of the creator of ns.
func (ns *UserNamespace) Owner() UID { return ns.owner }

// OwnerGroup is the effective group id of the creator of ns.
func (ns *UserNamespace) OwnerGroup() GID { return ns.group }

// ToUID translates an id of the application; false if it has no mapping.
func (ns *UserNamespace) ToUID(id uint32) (UID, bool) {
	v, ok := ns.uids.Load().toKernel(id)
	return UID(v), ok
}

// ToGID translates an id of the application; false if it has no mapping.
func (ns *UserNamespace) ToGID(id uint32) (GID, bool) {
	v, ok := ns.gids.Load().toKernel(id)
	return GID(v), ok
}

// FromUID translates a kernel id to what it is called in ns; false if it has no
// mapping there.
func (ns *UserNamespace) FromUID(id UID) (uint32, bool) {
	return ns.uids.Load().fromKernel(uint32(id))
}

// FromGID translates a kernel id to what it is called in ns; false if it has no
// mapping there.
func (ns *UserNamespace) FromGID(id GID) (uint32, bool) {
	return ns.gids.Load().fromKernel(uint32(id))
}

// ShowUID is FromUID, or OverflowUID without a mapping: what stat(2) and
// getuid(2) show.
func (ns *UserNamespace) ShowUID(id UID) uint32 {
	if v, ok := ns.FromUID(id); ok {
		return v
	}
	return OverflowUID
}

// ShowGID is FromGID, or OverflowGID without a mapping.
func (ns *UserNamespace) ShowGID(id GID) uint32 {
	if v, ok := ns.FromGID(id); ok {
		return v
	}
	return OverflowGID
}

// UIDMap returns the lines of uid_map, with ParentFirst in the parent namespace.
func (ns *UserNamespace) UIDMap() []IDMapExtent { return ns.uids.Load().show() }

// GIDMap returns the lines of gid_map, with ParentFirst in the parent namespace.
func (ns *UserNamespace) GIDMap() []IDMapExtent { return ns.gids.Load().show() }

func (m *idMap) show() []IDMapExtent {
	if m == nil {
		return nil
	}
	return slices.Clone(m.lines)
}

// SetUIDMap gives ns its user id map, which can be done once. Who may write it
// (user_namespaces(7), "Defining user and group ID mappings") is for the caller
// to check. EINVAL for lines that are empty, overlap or wrap around, EPERM if
// there is a map already or an id is not mapped in the parent.
func (ns *UserNamespace) SetUIDMap(lines []IDMapExtent) error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.parent == nil || ns.uids.Load() != nil {
		return unix.EPERM
	}
	m, err := newIDMap(lines, ns.parent.uids.Load())
	if err != nil {
		return err
	}
	ns.uids.Store(m)
	return nil
}

// SetGIDMap gives ns its group id map; see SetUIDMap.
func (ns *UserNamespace) SetGIDMap(lines []IDMapExtent) error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if ns.parent == nil || ns.gids.Load() != nil {
		return unix.EPERM
	}
	m, err := newIDMap(lines, ns.parent.gids.Load())
	if err != nil {
		return err
	}
	ns.gids.Store(m)
	return nil
}

func newIDMap(lines []IDMapExtent, parent *idMap) (*idMap, error) {
	if len(lines) == 0 || len(lines) > MaxIDMapExtents {
		return nil, unix.EINVAL
	}
	m := &idMap{lines: slices.Clone(lines)}
	for i, l := range lines {
		if l.Count == 0 || l.First+l.Count < l.First || l.ParentFirst+l.Count < l.ParentFirst {
			return nil, unix.EINVAL
		}
		for _, o := range lines[:i] {
			if overlap(l.First, l.Count, o.First, o.Count) ||
				overlap(l.ParentFirst, l.Count, o.ParentFirst, o.Count) {
				return nil, unix.EINVAL
			}
		}
		kernel, ok := parent.toKernel(l.ParentFirst)
		last, ok2 := parent.toKernel(l.ParentFirst + l.Count - 1)
		if !ok || !ok2 || last-kernel != l.Count-1 {
			return nil, unix.EPERM
		}
		m.kernel = append(m.kernel, kernelExtent{l.First, kernel, l.Count})
	}
	return m, nil
}

func overlap(a, na, b, nb uint32) bool {
	return uint64(a) < uint64(b)+uint64(nb) && uint64(b) < uint64(a)+uint64(na)
}

// SetgroupsAllowed reports whether setgroups(2) can be used in ns: it has a
// group map and "deny" was not written to /proc/PID/setgroups.
func (ns *UserNamespace) SetgroupsAllowed() bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.setgroups && ns.gids.Load() != nil
}

// SetgroupsState is what /proc/PID/setgroups shows: true for "allow".
func (ns *UserNamespace) SetgroupsState() bool {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.setgroups
}

// SetSetgroups writes /proc/PID/setgroups. EPERM to deny when there is a group
// map already, or to allow after a denial.
func (ns *UserNamespace) SetSetgroups(allow bool) error {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	if allow {
		if !ns.setgroups {
			return unix.EPERM
		}
		return nil
	}
	if ns.gids.Load() != nil {
		return unix.EPERM
	}
	ns.setgroups = false
	return nil
}

// Within reports whether ns is other or a descendant of it.
func (ns *UserNamespace) Within(other *UserNamespace) bool {
	for ; ns != nil; ns = ns.parent {
		if ns == other {
			return true
		}
	}
	return false
}
