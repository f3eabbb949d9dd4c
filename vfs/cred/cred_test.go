package cred

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestIDMap(t *testing.T) {
	root := NewRootUserNamespace()
	c := New(1000, 1000, nil, root)
	ns, err := NewChild(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := ns.ShowUID(1000); got != OverflowUID {
		t.Errorf("unmapped id shown as %d", got)
	}
	for _, bad := range [][]IDMapExtent{nil, {{0, 0, 0}}, {{0, 0, 2}, {1, 5, 1}}, {{0, 0xfffffff0, 0x20}}} {
		if err := ns.SetUIDMap(bad); err != unix.EINVAL {
			t.Errorf("SetUIDMap(%v) = %v, want EINVAL", bad, err)
		}
	}
	if err := ns.SetUIDMap([]IDMapExtent{{0, 1000, 1}, {1, 5000, 10}}); err != nil {
		t.Fatal(err)
	}
	if err := ns.SetUIDMap([]IDMapExtent{{0, 1000, 1}}); err != unix.EPERM {
		t.Errorf("second map: %v", err)
	}
	if id, ok := ns.ToUID(3); !ok || id != 5002 {
		t.Errorf("ToUID(3) = %d, %v", id, ok)
	}
	if id, ok := ns.FromUID(5009); !ok || id != 10 {
		t.Errorf("FromUID(5009) = %d, %v", id, ok)
	}
	if _, ok := ns.ToUID(11); ok {
		t.Error("ToUID(11) is mapped")
	}
	grand, err := NewChild(&Credentials{EUID: 5000, EGID: 1, UserNS: ns})
	if err != unix.EPERM || grand != nil {
		t.Errorf("NewChild without a group map: %v", err)
	}
}

func TestHasCapIn(t *testing.T) {
	root := NewRootUserNamespace()
	c := New(1000, 1000, nil, root)
	ns, err := NewChild(c)
	if err != nil {
		t.Fatal(err)
	}
	if !c.HasCapIn(unix.CAP_SYS_ADMIN, ns) {
		t.Error("owner has no capability in its namespace")
	}
	if c.HasCapIn(unix.CAP_SYS_ADMIN, root) {
		t.Error("plain user has a capability")
	}
	if New(1001, 1000, nil, root).HasCapIn(unix.CAP_SYS_ADMIN, ns) {
		t.Error("another user has a capability")
	}
	if in := NewRoot(ns); in.HasCapIn(unix.CAP_SYS_ADMIN, root) || !in.HasCapIn(unix.CAP_SYS_ADMIN, ns) {
		t.Error("root of a child namespace: wrong reach")
	}
	if !NewRoot(root).HasCapIn(unix.CAP_SYS_ADMIN, ns) {
		t.Error("root has no capability in the child")
	}
}

func TestFixSetuid(t *testing.T) {
	ns := NewRootUserNamespace()
	old := NewRoot(ns)
	c := old.Clone()
	c.RUID, c.EUID, c.SUID, c.FSUID = 5, 5, 5, 5
	c.FixSetuid(old)
	if c.Permitted != 0 || c.Effective != 0 {
		t.Errorf("capabilities kept: %x %x", c.Permitted, c.Effective)
	}
	c = old.Clone()
	c.EUID = 5
	c.FixSetuid(old)
	if c.Permitted != AllCaps || c.Effective != 0 {
		t.Errorf("seteuid: %x %x", c.Permitted, c.Effective)
	}
	back := c.Clone()
	back.EUID = 0
	back.FixSetuid(c)
	if back.Effective != AllCaps {
		t.Errorf("seteuid back: %x", back.Effective)
	}
}
