// Package inotify has inotify instances, inotify(7): files from which the events
// of watched files and directories are read.
//
// Locks: the core's, then Instance.mu.
package inotify

import (
	"encoding/binary"
	"sync"

	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"

	"golang.org/x/sys/unix"
)

// MaxQueuedEvents is /proc/sys/fs/inotify/max_queued_events: more are lost.
const MaxQueuedEvents = 16384

// MaxUserWatches is /proc/sys/fs/inotify/max_user_watches, here for each instance.
const MaxUserWatches = 65536

// headerSize is the size of struct inotify_event without a name.
const headerSize = 16

// An event is a struct inotify_event.
type event struct {
	wd     int32
	mask   uint32
	cookie uint32
	name   string
}

// size is the length in bytes as it is read: the name is padded with NULs.
func (e *event) size() int {
	if e.name == "" {
		return headerSize
	}
	return headerSize + (len(e.name)+1+headerSize-1)&^(headerSize-1)
}

func (e *event) encode(b []byte) {
	clear(b)
	le := binary.LittleEndian
	le.PutUint32(b, uint32(e.wd))
	le.PutUint32(b[4:], e.mask)
	le.PutUint32(b[8:], e.cookie)
	le.PutUint32(b[12:], uint32(len(b)-headerSize))
	copy(b[headerSize:], e.name)
}

// An Instance is what inotify_init(2) makes. It is a vfs.FileOps.
type Instance struct {
	vfs.FileDefaults
	queue wait.Queue

	mu      sync.Mutex
	events  []event
	watches map[int32]*watch
	next    int32
}

// A watch is a watch descriptor.
type watch struct {
	vfs.Watch
	inst    *Instance
	wd      int32
	oneShot bool
}

// New returns an instance without watches.
func New() *Instance { return &Instance{watches: make(map[int32]*watch), next: 1} }

// Of returns the instance that f is; nil if it is none.
func Of(f *vfs.File) *Instance {
	i, _ := f.Ops().(*Instance)
	return i
}

// Add watches what is at in, or changes the watch: inotify_add_watch(2). mask is
// as there, which the caller has checked. It returns the watch descriptor: EEXIST
// with IN_MASK_CREATE, ENOSPC.
func (i *Instance) Add(in *vfs.Inode, mask uint32) (int32, error) {
	events := mask&(unix.IN_ALL_EVENTS|unix.IN_EXCL_UNLINK) | unix.IN_UNMOUNT
	i.mu.Lock()
	for _, w := range i.watches {
		if w.Inode() != in {
			continue
		}
		i.mu.Unlock()
		if mask&unix.IN_MASK_CREATE != 0 {
			return -1, unix.EEXIST
		}
		w.SetMask(events, mask&unix.IN_MASK_ADD != 0)
		return w.wd, nil
	}
	if len(i.watches) >= MaxUserWatches {
		i.mu.Unlock()
		return -1, unix.ENOSPC
	}
	w := &watch{inst: i, wd: i.next, oneShot: mask&unix.IN_ONESHOT != 0}
	w.Watch = vfs.Watch{Mask: events, Func: w.event}
	i.next++
	i.watches[w.wd] = w
	i.mu.Unlock()
	in.AddWatch(&w.Watch)
	return w.wd, nil
}

// Remove ends a watch: inotify_rm_watch(2). EINVAL if there is none.
func (i *Instance) Remove(wd int32) error {
	i.mu.Lock()
	w := i.watches[wd]
	delete(i.watches, wd)
	i.mu.Unlock()
	if w == nil {
		return unix.EINVAL
	}
	w.Watch.Remove()
	i.push(event{wd: wd, mask: unix.IN_IGNORED})
	return nil
}

// event is called by the core.
func (w *watch) event(_ *vfs.Watch, mask, cookie uint32, name string) {
	i := w.inst
	i.mu.Lock()
	if i.watches[w.wd] != w {
		i.mu.Unlock()
		return
	}
	last := mask&unix.IN_IGNORED != 0 || w.oneShot
	if last {
		delete(i.watches, w.wd)
	}
	i.mu.Unlock()
	i.push(event{w.wd, mask, cookie, name})
	if w.oneShot && mask&unix.IN_IGNORED == 0 {
		i.push(event{wd: w.wd, mask: unix.IN_IGNORED})
		// The core's list is locked: the watch is taken off it from outside.
		go w.Watch.Remove()
	}
}

// push queues an event, unless it is just like the last one.
func (i *Instance) push(e event) {
	i.mu.Lock()
	n := len(i.events)
	switch {
	case n > 0 && i.events[n-1] == e:
		i.mu.Unlock()
		return
	case n == MaxQueuedEvents:
		i.events = append(i.events, event{wd: -1, mask: unix.IN_Q_OVERFLOW})
	case n > MaxQueuedEvents:
		i.mu.Unlock()
		return
	default:
		i.events = append(i.events, e)
	}
	i.mu.Unlock()
	i.queue.Notify(wait.In | wait.RdNorm)
}

// Read implements vfs.FileOps.
func (i *Instance) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.events) == 0 {
		return 0, unix.EAGAIN
	}
	total := 0
	var buf [headerSize + 256 + headerSize]byte
	for len(i.events) > 0 {
		e := &i.events[0]
		b := buf[:e.size()]
		if uint64(len(b)) > dst.Len() {
			if total == 0 {
				return 0, unix.EINVAL
			}
			break
		}
		e.encode(b)
		n, err := dst.CopyOut(b)
		if err != nil {
			if total == 0 {
				return 0, err
			}
			break
		}
		total += n
		i.events = i.events[1:]
	}
	if len(i.events) == 0 {
		i.events = nil
	}
	return total, nil
}

// Readiness implements vfs.FileOps.
func (i *Instance) Readiness(mask wait.Events) wait.Events {
	i.mu.Lock()
	defer i.mu.Unlock()
	if len(i.events) == 0 {
		return 0
	}
	return mask & (wait.In | wait.RdNorm)
}

// Register implements vfs.FileOps.
func (i *Instance) Register(e *wait.Entry, mask wait.Events) { i.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (i *Instance) Unregister(e *wait.Entry) { i.queue.Unregister(e) }

// Ioctl implements vfs.FileOps.
func (i *Instance) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	if cmd != unix.TIOCINQ {
		return 0, unix.ENOTTY
	}
	i.mu.Lock()
	n := 0
	for k := range i.events {
		n += i.events[k].size()
	}
	i.mu.Unlock()
	b := ctx.Buf[:4]
	binary.LittleEndian.PutUint32(b, uint32(n))
	_, err := ctx.Mem.CopyOut(arg, b)
	return 0, err
}

// Release implements vfs.FileOps.
func (i *Instance) Release(*vfs.File) {
	i.mu.Lock()
	all := i.watches
	i.watches = make(map[int32]*watch)
	i.events = nil
	i.mu.Unlock()
	for _, w := range all {
		w.Watch.Remove()
	}
}
