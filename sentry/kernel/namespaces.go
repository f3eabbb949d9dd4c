package kernel

import (
	"sync"

	"casemate/vfs/cred"
)

// Namespaces are the namespaces of a task but for mounts (vfs.Context), users
// (credentials) and its own pids. It does not change: unshare(2) and setns(2)
// replace it.
type Namespaces struct {
	UTS *UTSNamespace
	IPC *IPCNamespace
	Net *NetNamespace
	// Cgroup is the root of what the task sees of control groups: cgroup_namespaces(7).
	Cgroup *CgroupNamespace
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
	return &UTSNamespace{ID: cred.NextNamespaceID(), UserNS: user, host: host, domain: domain}
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
	ns := &IPCNamespace{ID: cred.NextNamespaceID(), UserNS: user}
	ns.Limits.init()
	return ns
}

// A CgroupNamespace is a root of control groups. All tasks of a sandbox are in the one group
// that there is, so that all of them show the same.
type CgroupNamespace struct {
	ID     uint64 // inode number in /proc/PID/ns
	UserNS *cred.UserNamespace
}

// initialCgroupNS is the number of the initial namespace (PROC_CGROUP_INIT_INO).
const initialCgroupNS = 0xeffffffb

func (k *Kernel) newCgroupNamespace(user *cred.UserNamespace) *CgroupNamespace {
	return &CgroupNamespace{ID: cred.NextNamespaceID(), UserNS: user}
}

// NewPIDNamespace returns a pid namespace below parent, or one that nobody else
// sees if parent is nil. ENOSPC if it is nested too deep.
func (k *Kernel) NewPIDNamespace(parent *PIDNamespace, user *cred.UserNamespace) (*PIDNamespace, error) {
	return k.newPIDNamespace(parent, user)
}
