package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs/cred"
)

// same is the id argument that leaves an id as it is.
const same = 0xffffffff

// sysGetuid is getuid(2).
func sysGetuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Credentials()
	return uint64(c.UserNS.ShowUID(c.RUID)), nil
}

// sysGeteuid is geteuid(2).
func sysGeteuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Credentials()
	return uint64(c.UserNS.ShowUID(c.EUID)), nil
}

// sysGetgid is getgid(2).
func sysGetgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Credentials()
	return uint64(c.UserNS.ShowGID(c.RGID)), nil
}

// sysGetegid is getegid(2).
func sysGetegid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Credentials()
	return uint64(c.UserNS.ShowGID(c.EGID)), nil
}

// sysGetresuid is getresuid(2).
func sysGetresuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Credentials()
	for i, id := range [...]cred.UID{c.RUID, c.EUID, c.SUID} {
		if err := putUint32(t, a.Ptr(i), c.UserNS.ShowUID(id)); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// sysGetresgid is getresgid(2).
func sysGetresgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Credentials()
	for i, id := range [...]cred.GID{c.RGID, c.EGID, c.SGID} {
		if err := putUint32(t, a.Ptr(i), c.UserNS.ShowGID(id)); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// setUIDs gives t credentials that differ from old in the user ids.
func setUIDs(t *kernel.Task, c, old *cred.Credentials) error {
	c.FSUID = c.EUID
	c.FixSetuid(old)
	t.ChangeIDs(c)
	return nil
}

// setGIDs gives t credentials that differ in the group ids.
func setGIDs(t *kernel.Task, c *cred.Credentials) error {
	c.FSGID = c.EGID
	t.ChangeIDs(c)
	return nil
}

// sysSetuid is setuid(2).
func sysSetuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	id, ok := old.UserNS.ToUID(a.Uint(0))
	if !ok {
		return 0, unix.EINVAL
	}
	c := old.Clone()
	switch {
	case old.HasCap(unix.CAP_SETUID):
		c.RUID, c.SUID = id, id
	case id != old.RUID && id != old.SUID:
		return 0, unix.EPERM
	}
	c.EUID = id
	return 0, setUIDs(t, c, old)
}

// sysSetgid is setgid(2).
func sysSetgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	id, ok := old.UserNS.ToGID(a.Uint(0))
	if !ok {
		return 0, unix.EINVAL
	}
	c := old.Clone()
	switch {
	case old.HasCap(unix.CAP_SETGID):
		c.RGID, c.SGID = id, id
	case id != old.RGID && id != old.SGID:
		return 0, unix.EPERM
	}
	c.EGID = id
	return 0, setGIDs(t, c)
}

// sysSetreuid is setreuid(2).
func sysSetreuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	c := old.Clone()
	privileged := old.HasCap(unix.CAP_SETUID)
	if a.Uint(0) != same {
		id, ok := old.UserNS.ToUID(a.Uint(0))
		if !ok {
			return 0, unix.EINVAL
		}
		if !privileged && id != old.RUID && id != old.EUID {
			return 0, unix.EPERM
		}
		c.RUID = id
	}
	if a.Uint(1) != same {
		id, ok := old.UserNS.ToUID(a.Uint(1))
		if !ok {
			return 0, unix.EINVAL
		}
		if !privileged && id != old.RUID && id != old.EUID && id != old.SUID {
			return 0, unix.EPERM
		}
		c.EUID = id
	}
	if a.Uint(0) != same || a.Uint(1) != same && c.EUID != old.RUID {
		c.SUID = c.EUID
	}
	return 0, setUIDs(t, c, old)
}

// sysSetregid is setregid(2).
func sysSetregid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	c := old.Clone()
	privileged := old.HasCap(unix.CAP_SETGID)
	if a.Uint(0) != same {
		id, ok := old.UserNS.ToGID(a.Uint(0))
		if !ok {
			return 0, unix.EINVAL
		}
		if !privileged && id != old.RGID && id != old.EGID {
			return 0, unix.EPERM
		}
		c.RGID = id
	}
	if a.Uint(1) != same {
		id, ok := old.UserNS.ToGID(a.Uint(1))
		if !ok {
			return 0, unix.EINVAL
		}
		if !privileged && id != old.RGID && id != old.EGID && id != old.SGID {
			return 0, unix.EPERM
		}
		c.EGID = id
	}
	if a.Uint(0) != same || a.Uint(1) != same && c.EGID != old.RGID {
		c.SGID = c.EGID
	}
	return 0, setGIDs(t, c)
}

// sysSetresuid is setresuid(2).
func sysSetresuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	c := old.Clone()
	privileged := old.HasCap(unix.CAP_SETUID)
	for i, p := range [...]*cred.UID{&c.RUID, &c.EUID, &c.SUID} {
		if a.Uint(i) == same {
			continue
		}
		id, ok := old.UserNS.ToUID(a.Uint(i))
		if !ok {
			return 0, unix.EINVAL
		}
		if !privileged && id != old.RUID && id != old.EUID && id != old.SUID {
			return 0, unix.EPERM
		}
		*p = id
	}
	return 0, setUIDs(t, c, old)
}

// sysSetresgid is setresgid(2).
func sysSetresgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	c := old.Clone()
	privileged := old.HasCap(unix.CAP_SETGID)
	for i, p := range [...]*cred.GID{&c.RGID, &c.EGID, &c.SGID} {
		if a.Uint(i) == same {
			continue
		}
		id, ok := old.UserNS.ToGID(a.Uint(i))
		if !ok {
			return 0, unix.EINVAL
		}
		if !privileged && id != old.RGID && id != old.EGID && id != old.SGID {
			return 0, unix.EPERM
		}
		*p = id
	}
	return 0, setGIDs(t, c)
}

// sysSetfsuid is setfsuid(2).
func sysSetfsuid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	shown := uint64(old.UserNS.ShowUID(old.FSUID))
	id, ok := old.UserNS.ToUID(a.Uint(0))
	if !ok || id == old.FSUID {
		return shown, nil
	}
	if id == old.RUID || id == old.EUID || id == old.SUID || old.HasCap(unix.CAP_SETUID) {
		c := old.Clone()
		c.FSUID = id
		c.FixSetfsuid(old)
		t.ChangeIDs(c)
	}
	return shown, nil
}

// sysSetfsgid is setfsgid(2).
func sysSetfsgid(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	shown := uint64(old.UserNS.ShowGID(old.FSGID))
	id, ok := old.UserNS.ToGID(a.Uint(0))
	if !ok || id == old.FSGID {
		return shown, nil
	}
	if id == old.RGID || id == old.EGID || id == old.SGID || old.HasCap(unix.CAP_SETGID) {
		c := old.Clone()
		c.FSGID = id
		t.ChangeIDs(c)
	}
	return shown, nil
}

// maxGroups is NGROUPS_MAX.
const maxGroups = 65536

// sysGetgroups is getgroups(2).
func sysGetgroups(t *kernel.Task, a kernel.Args) (uint64, error) {
	c := t.Credentials()
	size := a.Int(0)
	if size < 0 {
		return 0, unix.EINVAL
	}
	n := len(c.Groups)
	if size == 0 {
		return uint64(n), nil
	}
	if n > int(size) {
		return 0, unix.EINVAL
	}
	b := make([]byte, 4*n)
	for i, g := range c.Groups {
		le.PutUint32(b[4*i:], c.UserNS.ShowGID(g))
	}
	return uint64(n), copyOut(t, a.Ptr(1), b)
}

// sysSetgroups is setgroups(2).
func sysSetgroups(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	n := a.Uint(0)
	if !old.HasCap(unix.CAP_SETGID) || !old.UserNS.SetgroupsAllowed() {
		return 0, unix.EPERM
	}
	if n > maxGroups {
		return 0, unix.EINVAL
	}
	b := make([]byte, 4*n)
	if err := copyIn(t, a.Ptr(1), b); err != nil {
		return 0, err
	}
	groups := make([]cred.GID, n)
	for i := range groups {
		id, ok := old.UserNS.ToGID(le.Uint32(b[4*i:]))
		if !ok {
			return 0, unix.EINVAL
		}
		groups[i] = id
	}
	c := old.Clone()
	c.SetGroups(groups)
	t.SetCredentials(c)
	return 0, nil
}

// Versions of capget(2)'s header.
const (
	capVersion1 = 0x19980330
	capVersion2 = 0x20071026
	capVersion3 = 0x20080522
)

// capHeader reads the header of capget(2) and capset(2), and returns how many
// words each set has. words is 0 if the version is unknown; then the right one has
// been written back.
func capHeader(t *kernel.Task, addr uint64) (words int, pid int32, err error) {
	var b [8]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return 0, 0, err
	}
	pid = int32(le.Uint32(b[4:]))
	switch le.Uint32(b[0:]) {
	case capVersion1:
		return 1, pid, nil
	case capVersion2, capVersion3:
		return 2, pid, nil
	}
	return 0, pid, putUint32(t, addr, capVersion3)
}

// sysCapget is capget(2).
func sysCapget(t *kernel.Task, a kernel.Args) (uint64, error) {
	words, pid, err := capHeader(t, a.Ptr(0))
	if err != nil {
		return 0, err
	}
	if words == 0 {
		if a.Ptr(1) == 0 {
			return 0, nil
		}
		return 0, unix.EINVAL
	}
	if pid < 0 {
		return 0, unix.EINVAL
	}
	o, err := t.FindTask(pid)
	if err != nil {
		return 0, err
	}
	if a.Ptr(1) == 0 {
		return 0, nil
	}
	c := o.Credentials()
	var b [24]byte
	for i, s := range [...]cred.CapSet{c.Effective, c.Permitted, c.Inheritable} {
		le.PutUint32(b[4*i:], uint32(s))
		le.PutUint32(b[12+4*i:], uint32(s>>32))
	}
	return 0, copyOut(t, a.Ptr(1), b[:12*words])
}

// sysCapset is capset(2).
func sysCapset(t *kernel.Task, a kernel.Args) (uint64, error) {
	words, pid, err := capHeader(t, a.Ptr(0))
	if err != nil {
		return 0, err
	}
	if words == 0 {
		return 0, unix.EINVAL
	}
	if pid != 0 && pid != t.TID() {
		return 0, unix.EPERM
	}
	var b [24]byte
	if err := copyIn(t, a.Ptr(1), b[:12*words]); err != nil {
		return 0, err
	}
	var sets [3]cred.CapSet
	for i := range sets {
		sets[i] = cred.CapSet(le.Uint32(b[4*i:])) | cred.CapSet(le.Uint32(b[12+4*i:]))<<32
		sets[i] &= cred.AllCaps
	}
	c, err := t.Credentials().SetCaps(sets[1], sets[2], sets[0])
	if err != nil {
		return 0, err
	}
	t.SetCredentials(c)
	return 0, nil
}
