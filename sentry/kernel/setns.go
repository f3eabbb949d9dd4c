package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/cred"
)

// An nsset is what a setns(2) that may still fail is going to give the caller.
type nsset struct {
	ns    Namespaces
	cred  *cred.Credentials
	mount *vfs.MountNamespace // nil: as it is
}

// mayEnter checks the capabilities that entering a namespace takes: CAP_SYS_ADMIN in the user
// namespace that owns it and in the one that the caller is to be in. EPERM.
func (s *nsset) mayEnter(t *Task, owner *cred.UserNamespace) error {
	if c := t.Credentials(); !c.HasCapIn(unix.CAP_SYS_ADMIN, owner) || !c.HasCapIn(unix.CAP_SYS_ADMIN, s.cred.UserNS) {
		return unix.EPERM
	}
	return nil
}

func (ns *UTSNamespace) install(t *Task, s *nsset) error {
	s.ns.UTS = ns
	return s.mayEnter(t, ns.UserNS)
}

func (ns *IPCNamespace) install(t *Task, s *nsset) error {
	s.ns.IPC = ns
	return s.mayEnter(t, ns.UserNS)
}

func (ns *CgroupNamespace) install(t *Task, s *nsset) error {
	s.ns.Cgroup = ns
	return s.mayEnter(t, ns.UserNS)
}

func (ns *NetNamespace) install(t *Task, s *nsset) error {
	s.ns.Net = ns
	return s.mayEnter(t, ns.UserNS)
}

// install implements Namespace: children get their pids in ns, which is the caller's namespace or
// below it.
func (ns *PIDNamespace) install(t *Task, s *nsset) error {
	if err := s.mayEnter(t, ns.UserNS); err != nil {
		return err
	}
	if !ns.Within(t.PIDNamespace()) {
		return unix.EINVAL
	}
	s.ns.PIDForChildren = ns
	return nil
}

func (ns timeNamespace) install(t *Task, s *nsset) error {
	if t.tg.NumTasks() > 1 {
		return unix.EUSERS
	}
	return s.mayEnter(t, ns.user)
}

// install implements Namespace: the caller gets all capabilities in ns.
func (ns userNamespace) install(t *Task, s *nsset) error {
	switch {
	case ns.UserNamespace == t.Credentials().UserNS, t.tg.NumTasks() > 1, t.fs.FS.Shared():
		return unix.EINVAL
	case !t.Credentials().HasCapIn(unix.CAP_SYS_ADMIN, ns.UserNamespace):
		return unix.EPERM
	}
	s.cred = t.Credentials().Clone()
	s.cred.EnterUserNamespace(ns.UserNamespace)
	return nil
}

// install implements Namespace: root and working directory become the root of ns.
func (ns mountNamespace) install(t *Task, s *nsset) error {
	if err := s.mayEnter(t, ns.UserNS); err != nil {
		return err
	}
	if !t.Credentials().HasCapIn(unix.CAP_SYS_CHROOT, s.cred.UserNS) {
		return unix.EPERM
	}
	if t.fs.FS.Shared() {
		return unix.EINVAL
	}
	s.mount = ns.MountNamespace
	return nil
}

// Setns moves the calling task into the namespace that a file of nsfs stands for, or into those
// of flags that the process of a pidfd has: setns(2). EBADF, EINVAL, EPERM, ESRCH, EUSERS.
func (t *Task) Setns(fd int32, flags uint64) error {
	f := t.FDTable().Get(fd)
	if f == nil {
		return unix.EBADF
	}
	defer f.DecRef()
	switch o := f.Ops().(type) {
	case *nsFile:
		if flags != 0 && flags != o.ns.Kind() {
			return unix.EINVAL
		}
		return t.setns(o.ns)
	case *PIDFile:
		if flags == 0 || flags&^(cloneNamespaces|cloneNewTime) != 0 {
			return unix.EINVAL
		}
		return t.setnsOf(o.task, flags)
	}
	return unix.EINVAL
}

// setnsOf moves the calling task into namespaces of o, all or none.
func (t *Task) setnsOf(o *Task, flags uint64) error {
	if o.Namespaces() == nil {
		return unix.ESRCH
	}
	if err := t.MayPtrace(o); err != nil {
		return err
	}
	var list []Namespace
	defer func() {
		for _, ns := range list {
			ns.Release()
		}
	}()
	// In this order, which says whose capabilities count.
	for _, kind := range [...]uint64{unix.CLONE_NEWUSER, unix.CLONE_NEWNS, unix.CLONE_NEWUTS, unix.CLONE_NEWIPC, unix.CLONE_NEWPID,
		unix.CLONE_NEWCGROUP, unix.CLONE_NEWNET, cloneNewTime} {
		if flags&kind == 0 {
			continue
		}
		ns := o.Namespace(nsNames[kind])
		if ns == nil {
			return unix.ESRCH
		}
		list = append(list, ns)
	}
	return t.setns(list...)
}

// setns moves the calling task into namespaces, to which the caller has references.
func (t *Task) setns(list ...Namespace) error {
	s := &nsset{ns: *t.ns.Load(), cred: t.Credentials()}
	for _, ns := range list {
		if err := ns.install(t, s); err != nil {
			return err
		}
	}
	if m := s.mount; m != nil {
		m.IncRef()
		old := t.fs.MountNS
		t.setMountNamespace(m)
		root := m.Root()
		t.fs.FS.SetRoot(root)
		t.fs.FS.SetCwd(root)
		root.DecRef()
		old.DecRef()
	}
	s.ns.Net.IncRef()
	t.setNamespaces(&s.ns)
	if s.cred != t.Credentials() {
		t.SetCredentials(s.cred)
	}
	return nil
}

// setNamespaces gives the calling task namespaces, whose reference to Net it takes over; nil when
// it exits.
func (t *Task) setNamespaces(ns *Namespaces) {
	if old := t.ns.Swap(ns); old != nil {
		old.Net.DecRef()
	}
}

// MountNamespace is the task's mount namespace. For any other task than the caller's it may be gone
// at any time.
func (t *Task) MountNamespace() *vfs.MountNamespace { return t.mountNS.Load() }

// setMountNamespace gives the task a mount namespace, whose reference it takes over.
func (t *Task) setMountNamespace(m *vfs.MountNamespace) {
	t.fs.MountNS = m
	t.mountNS.Store(m)
}
