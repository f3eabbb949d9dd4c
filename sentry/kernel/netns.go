package kernel

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/vfs/cred"
	"casemate/vfs/refs"
)

// A NetNamespace is a network stack, network_namespaces(7). Tasks, sockets and files of nsfs
// have references to it; with the last its stack is closed.
type NetNamespace struct {
	ID     uint64 // inode number in /proc/PID/ns
	UserNS *cred.UserNamespace
	// Stack is the socket layer's, which makes it when it is first asked for. Its method Close,
	// if it has one, is called when the namespace goes.
	Stack atomic.Value

	refs atomic.Int64
}

// NewNetNamespace returns a namespace without a stack, with one reference.
func (k *Kernel) NewNetNamespace(user *cred.UserNamespace) *NetNamespace {
	ns := &NetNamespace{ID: cred.NextNamespaceID(), UserNS: user}
	ns.refs.Store(1)
	return ns
}

// IncRef takes a reference; the caller has one.
func (ns *NetNamespace) IncRef() { ns.refs.Add(1) }

// Alive reports whether there are references.
func (ns *NetNamespace) Alive() bool { return ns.refs.Load() > 0 }

// TryIncRef takes a reference, or reports that the namespace is gone.
func (ns *NetNamespace) TryIncRef() bool { return refs.TryInc(&ns.refs) }

// DecRef gives a reference back. After the last the stack is closed, a little later as in Linux:
// whoever drops it may hold locks.
func (ns *NetNamespace) DecRef() {
	if ns.refs.Add(-1) != 0 {
		return
	}
	if s, ok := ns.Stack.Load().(interface{ Close() }); ok {
		go s.Close()
	}
}

// HasCap reports whether c has a capability towards the namespace.
func (ns *NetNamespace) HasCap(c *cred.Credentials, capability cred.Capability) bool {
	return c.HasCapIn(capability, ns.UserNS)
}

// NetNamespaceOf returns the network namespace that a descriptor of a file of nsfs stands for, with
// a reference. EBADF, EINVAL for any other file.
func (t *Task) NetNamespaceOf(fd int32) (*NetNamespace, error) {
	f := t.FDTable().Get(fd)
	if f == nil {
		return nil, unix.EBADF
	}
	defer f.DecRef()
	n, ok := f.Ops().(*nsFile)
	if !ok {
		return nil, unix.EINVAL
	}
	ns, ok := n.ns.(*NetNamespace)
	if !ok {
		return nil, unix.EINVAL
	}
	ns.IncRef()
	return ns, nil
}

// NetNamespaceOfProcess returns the network namespace of the thread with that number in the
// caller's pid namespace, with a reference. ESRCH.
func (t *Task) NetNamespaceOfProcess(tid int32) (*NetNamespace, error) {
	o := t.PIDNamespace().Task(tid)
	if o == nil {
		return nil, unix.ESRCH
	}
	ns := o.Namespaces()
	if ns == nil || !ns.Net.TryIncRef() {
		return nil, unix.ESRCH
	}
	return ns.Net, nil
}
