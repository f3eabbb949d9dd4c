// Package cred has the credentials of tasks and of open files: user and group
// ids, capabilities, and user namespaces (credentials(7), capabilities(7),
// user_namespaces(7)).
package cred

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Bits of Credentials.Securebits; prctl(2), PR_SET_SECUREBITS. The lock of each
// is the next higher bit.
const (
	SecbitNoroot               = 1 << 0
	SecbitNorootLocked         = 1 << 1
	SecbitNoSetuidFixup        = 1 << 2
	SecbitNoSetuidFixupLocked  = 1 << 3
	SecbitKeepCaps             = 1 << 4
	SecbitKeepCapsLocked       = 1 << 5
	SecbitNoCapAmbientRaise    = 1 << 6
	SecbitNoCapAmbientRaiseLck = 1 << 7
)

// Credentials are on whose behalf something is done. They never change: to
// change a task's credentials, Clone, modify the copy before anyone else sees
// it, and give it to the task. So they can be shared and read without a lock.
type Credentials struct {
	RUID, EUID, SUID, FSUID UID
	RGID, EGID, SGID, FSGID GID
	// Groups are the supplementary groups, sorted.
	Groups []GID

	Permitted, Inheritable, Effective, Bounding, Ambient CapSet

	// Securebits are the SECBIT_* flags.
	Securebits uint32
	// UserNS is the user namespace in which the capabilities count.
	UserNS *UserNamespace
}

// New returns credentials with all four ids equal and no capability but in the
// bounding set.
func New(uid UID, gid GID, groups []GID, ns *UserNamespace) *Credentials {
	c := &Credentials{
		RUID: uid, EUID: uid, SUID: uid, FSUID: uid,
		RGID: gid, EGID: gid, SGID: gid, FSGID: gid,
		Bounding: AllCaps,
		UserNS:   ns,
	}
	c.SetGroups(groups)
	return c
}

// NewRoot returns the superuser's credentials, with all capabilities, in ns.
func NewRoot(ns *UserNamespace) *Credentials {
	c := New(RootUID, RootGID, nil, ns)
	c.Permitted, c.Effective = AllCaps, AllCaps
	return c
}

// EnterUserNamespace makes ns the user namespace of c, with all capabilities there, for a copy that
// nobody else has seen (user_namespaces(7), "Capabilities").
func (c *Credentials) EnterUserNamespace(ns *UserNamespace) {
	c.UserNS = ns
	c.Permitted, c.Effective, c.Bounding = AllCaps, AllCaps, AllCaps
	c.Inheritable, c.Ambient = 0, 0
	c.Securebits = 0
}

// Clone returns a copy that the caller may modify. Groups is shared until
// SetGroups.
func (c *Credentials) Clone() *Credentials {
	n := *c
	return &n
}

// SetGroups replaces the supplementary groups.
func (c *Credentials) SetGroups(groups []GID) {
	c.Groups = slices.Clone(groups)
	slices.Sort(c.Groups)
}

// InGroup reports whether gid is the file system group id or a supplementary
// group: what counts for file permissions.
func (c *Credentials) InGroup(gid GID) bool {
	if c.FSGID == gid {
		return true
	}
	_, ok := slices.BinarySearch(c.Groups, gid)
	return ok
}

// InEffectiveGroup reports whether gid is the effective group id or a
// supplementary group.
func (c *Credentials) InEffectiveGroup(gid GID) bool {
	if c.EGID == gid {
		return true
	}
	_, ok := slices.BinarySearch(c.Groups, gid)
	return ok
}

// HasCap reports whether the capability is effective in c's own user namespace.
func (c *Credentials) HasCap(capability Capability) bool { return c.Effective.Has(capability) }

// HasCapIn reports whether c has the capability towards objects that belong to
// ns: it is effective and ns is c's namespace or a descendant of it, or c is the
// owner of ns or of an ancestor of it and is in that one's parent namespace
// (user_namespaces(7), "Capabilities").
func (c *Credentials) HasCapIn(capability Capability, ns *UserNamespace) bool {
	for ; ns != nil; ns = ns.parent {
		if ns == c.UserNS {
			return c.Effective.Has(capability)
		}
		if ns.parent == c.UserNS && ns.owner == c.EUID {
			return true
		}
	}
	return false
}

// HasCapOver reports whether c has the capability towards a file that belongs
// to uid and gid: both must have a mapping in c's user namespace
// (user_namespaces(7), "Operations on file-system user and group IDs").
func (c *Credentials) HasCapOver(capability Capability, uid UID, gid GID) bool {
	if !c.Effective.Has(capability) {
		return false
	}
	_, okUID := c.UserNS.FromUID(uid)
	_, okGID := c.UserNS.FromGID(gid)
	return okUID && okGID
}

// FixSetuid applies capabilities(7), "Effect of user ID changes on
// capabilities", to c, whose user ids have just changed from old's by a
// set*uid(2) call (not setfsuid): capabilities are dropped when the last zero id
// is gone, and the effective set follows the effective id.
func (c *Credentials) FixSetuid(old *Credentials) {
	if c.Securebits&SecbitNoSetuidFixup != 0 {
		return
	}
	root, ok := c.UserNS.ToUID(0)
	if !ok {
		return
	}
	wasRoot := old.RUID == root || old.EUID == root || old.SUID == root
	isRoot := c.RUID == root || c.EUID == root || c.SUID == root
	if wasRoot && !isRoot {
		if c.Securebits&SecbitKeepCaps == 0 {
			c.Permitted, c.Effective = 0, 0
		}
		c.Ambient = 0
	}
	if old.EUID == root && c.EUID != root {
		c.Effective = 0
	}
	if old.EUID != root && c.EUID == root {
		c.Effective = c.Permitted
	}
}

// FixSetfsuid does the same after setfsuid(2), for FilesystemCaps.
func (c *Credentials) FixSetfsuid(old *Credentials) {
	if c.Securebits&SecbitNoSetuidFixup != 0 {
		return
	}
	root, ok := c.UserNS.ToUID(0)
	if !ok {
		return
	}
	if old.FSUID == root && c.FSUID != root {
		c.Effective &^= FilesystemCaps
	}
	if old.FSUID != root && c.FSUID == root {
		c.Effective |= c.Permitted & FilesystemCaps
	}
}

// SetCaps replaces the three sets as capset(2) does, in a copy. EPERM if
// permitted or effective or inheritable would hold more than c allows.
func (c *Credentials) SetCaps(permitted, inheritable, effective CapSet) (*Credentials, error) {
	if c.HasCap(unix.CAP_SETPCAP) {
		if inheritable&^(c.Inheritable|c.Bounding) != 0 {
			return nil, unix.EPERM
		}
	} else if inheritable&^(c.Inheritable|c.Permitted) != 0 {
		return nil, unix.EPERM
	}
	if inheritable&^(c.Inheritable|c.Bounding) != 0 || permitted&^c.Permitted != 0 || effective&^permitted != 0 {
		return nil, unix.EPERM
	}
	n := c.Clone()
	n.Permitted, n.Inheritable, n.Effective = permitted, inheritable, effective
	n.Ambient &= permitted & inheritable
	return n, nil
}

// realCaps are the capabilities that count for access(2): those that c would have
// by its real user id.
func (c *Credentials) realCaps() CapSet {
	if c.Securebits&SecbitNoSetuidFixup != 0 {
		return c.Effective
	}
	if root, ok := c.UserNS.ToUID(0); ok && c.RUID == root {
		return c.Permitted
	}
	return 0
}

// RealCapsEffective reports whether the capabilities of access(2) are the
// effective ones.
func (c *Credentials) RealCapsEffective() bool { return c.realCaps() == c.Effective }

// AsReal returns credentials with the real ids as file system ids, and the
// capabilities that go with them: access(2).
func (c *Credentials) AsReal() *Credentials {
	n := c.Clone()
	n.FSUID, n.FSGID, n.Effective = c.RUID, c.RGID, c.realCaps()
	return n
}
