package kernel

import (
	"sync"
	"sync/atomic"

	"casemate/vfs/cred"
)

// Namespaces are the namespaces of a task but for mounts (vfs.Context), users
// (credentials) and its own pids. It does not change: unshare(2) and setns(2)
// replace it.
type Namespaces struct {
	UTS *UTSNamespace
	IPC *IPCNamespace
	Net *NetNamespace
	// PIDForChildren is where new children get their pids.
	PIDForChildren *PIDNamespace
}

// A UTSNamespace has the names that uname(2) returns.
type UTSNamespace struct {
	ID     uint64 // inode number in /proc/PID/ns
	UserNS *cred.UserNamespace

	mu           sync.Mutex
	host, domain string
}

// NewUTSNamespace returns a namespace with the given names.
func (k *Kernel) NewUTSNamespace(host, domain string, user *cred.UserNamespace) *UTSNamespace {
	return &UTSNamespace{ID: k.NextInode(), UserNS: user, host: host, domain: domain}
}

// Names returns host name and domain name.
func (ns *UTSNamespace) Names() (host, domain string) {
	ns.mu.Lock()
	defer ns.mu.Unlock()
	return ns.host, ns.domain
}

// SetHost sets the host name.
func (ns *UTSNamespace) SetHost(name string) {
	ns.mu.Lock()
	ns.host = name
	ns.mu.Unlock()
}

// SetDomain sets the domain name.
func (ns *UTSNamespace) SetDomain(name string) {
	ns.mu.Lock()
	ns.domain = name
	ns.mu.Unlock()
}

// An IPCNamespace is where System V IPC objects and message queues are named.
type IPCNamespace struct {
	ID     uint64 // inode number in /proc/PID/ns
	UserNS *cred.UserNamespace
	Limits IPCLimits
	// Objects belongs to the IPC system calls.
	Objects sync.Map
}

// NewIPCNamespace returns an empty namespace with the usual limits.
func (k *Kernel) NewIPCNamespace(user *cred.UserNamespace) *IPCNamespace {
	ns := &IPCNamespace{ID: k.NextInode(), UserNS: user}
	ns.Limits.init()
	return ns
}

// A NetNamespace is a network stack.
type NetNamespace struct {
	ID     uint64 // inode number in /proc/PID/ns
	UserNS *cred.UserNamespace
	// Stack is the socket layer's.
	Stack atomic.Value
}

// NewNetNamespace returns a namespace without a stack.
func (k *Kernel) NewNetNamespace(user *cred.UserNamespace) *NetNamespace {
	return &NetNamespace{ID: k.NextInode(), UserNS: user}
}

// NewPIDNamespace returns a pid namespace below parent, or one that nobody else
// sees if parent is nil. ENOSPC if it is nested too deep.
func (k *Kernel) NewPIDNamespace(parent *PIDNamespace, user *cred.UserNamespace) (*PIDNamespace, error) {
	return k.newPIDNamespace(parent, user)
}

// SetNamespaces gives the calling task other namespaces.
func (t *Task) SetNamespaces(ns *Namespaces) { t.ns.Store(ns) }
