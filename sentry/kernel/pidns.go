package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/vfs/cred"
)

const (
	// PIDMax is the first number that is no process id (/proc/sys/kernel/pid_max).
	PIDMax = 4194304
	// reservedPIDs are not given out again after the numbers have wrapped.
	reservedPIDs = 300
	// maxPIDNamespaceLevel is how deep pid namespaces nest (pid_namespaces(7)).
	maxPIDNamespaceLevel = 32
)

// A PIDNamespace numbers tasks, pid_namespaces(7). Its fields are guarded by
// Kernel.mu.
type PIDNamespace struct {
	ID     uint64 // inode number in /proc/PID/ns
	UserNS *cred.UserNamespace

	k      *Kernel
	parent *PIDNamespace
	level  int
	pids   map[int32]*PID
	last   int32
	init   *ThreadGroup // process 1; nil before it has begun
	dead   bool         // process 1 has exited: no new tasks
}

// A PID names a task, and a process group or session that began with it, in its
// namespace and in all that namespace's ancestors. The numbers do not change.
type PID struct {
	ns   *PIDNamespace
	nums []int32 // by level

	// Guarded by Kernel.mu. When all are nil the numbers are free.
	task    *Task
	group   *ProcessGroup
	session *Session
}

// newPIDNamespace returns a namespace below parent, nil for a namespace that
// nobody contains.
func (k *Kernel) newPIDNamespace(parent *PIDNamespace, user *cred.UserNamespace) (*PIDNamespace, error) {
	ns := &PIDNamespace{ID: cred.NextNamespaceID(), UserNS: user, k: k, parent: parent, pids: map[int32]*PID{}}
	if parent != nil {
		ns.level = parent.level + 1
		if ns.level > maxPIDNamespaceLevel {
			return nil, unix.ENOSPC
		}
	}
	return ns, nil
}

// Parent is the namespace that contains ns, or nil.
func (ns *PIDNamespace) Parent() *PIDNamespace { return ns.parent }

// Within reports whether ns is other or lies below it.
func (ns *PIDNamespace) Within(other *PIDNamespace) bool {
	for ; ns != nil; ns = ns.parent {
		if ns == other {
			return true
		}
	}
	return false
}

// In returns the number of p in ns, 0 if p is not visible there.
func (p *PID) In(ns *PIDNamespace) int32 {
	if p == nil || ns.level >= len(p.nums) {
		return 0
	}
	at := p.ns
	for at.level > ns.level {
		at = at.parent
	}
	if at != ns {
		return 0
	}
	return p.nums[ns.level]
}

// own is the number in p's own namespace.
func (p *PID) own() int32 { return p.nums[len(p.nums)-1] }

// allocPID takes a number in ns and each of its ancestors. want holds the numbers
// asked for, innermost first, as in clone3(2)'s set_tid. k.mu is held. EAGAIN
// when a namespace is full, ENOMEM when its init has exited, EEXIST, EINVAL.
func (k *Kernel) allocPID(ns *PIDNamespace, want []int32) (*PID, error) {
	if ns.dead {
		return nil, unix.ENOMEM
	}
	if len(want) > ns.level+1 {
		return nil, unix.EINVAL
	}
	p := &PID{ns: ns, nums: make([]int32, ns.level+1)}
	for at, i := ns, 0; at != nil; at, i = at.parent, i+1 {
		var n int32
		var err error
		if i < len(want) {
			n, err = at.take(want[i])
		} else {
			n, err = at.next()
		}
		if err != nil {
			for ; ns != at; ns = ns.parent {
				delete(ns.pids, p.nums[ns.level])
			}
			return nil, err
		}
		p.nums[at.level] = n
		at.pids[n] = p
	}
	return p, nil
}

func (ns *PIDNamespace) take(n int32) (int32, error) {
	if n < 1 || n >= PIDMax || n != 1 && ns.init == nil {
		return 0, unix.EINVAL
	}
	if ns.pids[n] != nil {
		return 0, unix.EEXIST
	}
	return n, nil
}

func (ns *PIDNamespace) next() (int32, error) {
	n := ns.last
	for range PIDMax {
		n++
		if n >= PIDMax {
			n = reservedPIDs
		}
		if ns.pids[n] == nil {
			ns.last = n
			return n, nil
		}
	}
	return 0, unix.EAGAIN
}

// release frees the numbers of p if nothing uses them. k.mu is held.
func (p *PID) release() {
	if p.task != nil || p.group != nil || p.session != nil {
		return
	}
	for ns := p.ns; ns != nil; ns = ns.parent {
		if n := p.nums[ns.level]; ns.pids[n] == p {
			delete(ns.pids, n)
		}
	}
}

// Task returns the task with that number, nil if there is none. It may be a
// zombie.
func (ns *PIDNamespace) Task(n int32) *Task {
	ns.k.mu.RLock()
	defer ns.k.mu.RUnlock()
	return ns.taskLocked(n)
}

func (ns *PIDNamespace) taskLocked(n int32) *Task {
	if p := ns.pids[n]; p != nil {
		return p.task
	}
	return nil
}

// ThreadGroup returns the process with that number, nil if there is none. It may
// be a zombie.
func (ns *PIDNamespace) ThreadGroup(n int32) *ThreadGroup {
	ns.k.mu.RLock()
	defer ns.k.mu.RUnlock()
	return ns.threadGroupLocked(n)
}

func (ns *PIDNamespace) threadGroupLocked(n int32) *ThreadGroup {
	if t := ns.taskLocked(n); t != nil && t == t.tg.leader {
		return t.tg
	}
	return nil
}

// ThreadGroups returns the processes that ns sees, zombies included, in no order.
func (ns *PIDNamespace) ThreadGroups() []*ThreadGroup {
	ns.k.mu.RLock()
	defer ns.k.mu.RUnlock()
	return ns.threadGroupsLocked()
}

func (ns *PIDNamespace) threadGroupsLocked() []*ThreadGroup {
	list := make([]*ThreadGroup, 0, len(ns.pids))
	for _, p := range ns.pids {
		if p.task != nil && p.task == p.task.tg.leader {
			list = append(list, p.task.tg)
		}
	}
	return list
}

// Init returns process 1, nil if there is none yet.
func (ns *PIDNamespace) Init() *ThreadGroup {
	ns.k.mu.RLock()
	defer ns.k.mu.RUnlock()
	return ns.init
}

// LastPID is the number given out last (/proc/loadavg, ns_last_pid).
func (ns *PIDNamespace) LastPID() int32 {
	ns.k.mu.RLock()
	defer ns.k.mu.RUnlock()
	return ns.last
}
