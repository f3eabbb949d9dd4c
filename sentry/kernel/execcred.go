package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
)

// Values of PR_GET_DUMPABLE.
const (
	DumpableNone = 0
	DumpableUser = 1
)

// fileCaps are the capabilities of a program, capabilities(7).
type fileCaps struct {
	permitted, inheritable cred.CapSet
	effective              bool
}

// readFileCaps reads security.capability; ok is false if there is none that counts
// in user namespace ns.
func readFileCaps(ctx *vfs.Context, f *vfs.File, ns *cred.UserNamespace) (c fileCaps, ok bool) {
	const (
		revisionMask  = 0xff000000
		revision1     = 0x01000000
		revision2     = 0x02000000
		revision3     = 0x03000000
		flagEffective = 1
	)
	v, err := f.Inode().Ops().Getxattr(ctx, "security.capability")
	if err != nil || len(v) < 12 {
		return c, false
	}
	le := binary.LittleEndian
	magic := le.Uint32(v)
	c.effective = magic&flagEffective != 0
	c.permitted = cred.CapSet(le.Uint32(v[4:]))
	c.inheritable = cred.CapSet(le.Uint32(v[8:]))
	switch magic & revisionMask {
	case revision1:
	case revision2, revision3:
		if len(v) < 20 {
			return c, false
		}
		c.permitted |= cred.CapSet(le.Uint32(v[12:])) << 32
		c.inheritable |= cred.CapSet(le.Uint32(v[16:])) << 32
		if magic&revisionMask == revision3 {
			if len(v) < 24 {
				return c, false
			}
			if root, ok := ns.ToUID(0); !ok || uint32(root) != le.Uint32(v[20:]) {
				return c, false
			}
		}
	default:
		return c, false
	}
	c.permitted &= cred.AllCaps
	c.inheritable &= cred.AllCaps
	return c, true
}

// execCredentials returns the credentials with which the program f runs, and
// whether it gains privilege by that (AT_SECURE): capabilities(7), "Transformation
// of capabilities during execve()". EPERM if it cannot have the capabilities that it
// needs.
func (t *Task) execCredentials(f *vfs.File) (*cred.Credentials, bool, error) {
	old := t.Credentials()
	c := old.Clone()
	in := f.Inode()
	ns := c.UserNS
	trusted := !t.noNewPrivs.Load() && !f.Path().Mount.NoSuid(ns)
	var caps fileCaps
	hasCaps := false
	if trusted {
		mode := in.Mode()
		_, okUID := ns.FromUID(in.UID())
		_, okGID := ns.FromGID(in.GID())
		if okUID && okGID {
			if mode&unix.S_ISUID != 0 {
				c.EUID = in.UID()
			}
			if mode&(unix.S_ISGID|unix.S_IXGRP) == unix.S_ISGID|unix.S_IXGRP {
				c.EGID = in.GID()
			}
		}
		caps, hasCaps = readFileCaps(t.fs, f, ns)
	}
	c.SUID, c.FSUID = c.EUID, c.EUID
	c.SGID, c.FSGID = c.EGID, c.EGID
	setID := c.EUID != old.EUID || c.EGID != old.EGID

	if hasCaps {
		want := caps.permitted
		caps.permitted = caps.permitted&c.Bounding | caps.inheritable&c.Inheritable
		if caps.effective && want&^caps.permitted != 0 {
			return nil, false, unix.EPERM
		}
	} else {
		caps = fileCaps{}
	}
	permitted := caps.permitted
	effective := caps.effective
	root, hasRoot := ns.ToUID(0)
	if hasRoot && c.Securebits&cred.SecbitNoroot == 0 {
		if hasCaps && c.RUID != root && c.EUID == root {
			// A set-user-ID-root program with capabilities of its own gets just
			// these.
		} else {
			if c.EUID == root || c.RUID == root {
				permitted = c.Bounding | c.Inheritable
			}
			if c.EUID == root {
				effective = true
			}
		}
	}
	if hasCaps || setID {
		c.Ambient = 0
	}
	c.Permitted = permitted | c.Ambient
	c.Effective = c.Ambient
	if effective {
		c.Effective = c.Permitted
	}
	c.Securebits &^= cred.SecbitKeepCaps
	secure := c.EUID != c.RUID || c.EGID != c.RGID ||
		(!hasRoot || c.RUID != root) && (effective && c.Permitted&^c.Ambient != 0 || c.Permitted&^(c.Ambient|old.Permitted) != 0)
	return c, secure, nil
}
