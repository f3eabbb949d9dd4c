package gofer

import (
	"sync"

	"golang.org/x/sys/unix"
)

// A node is what the server holds for one handle: an O_PATH descriptor, which
// follows the file through renames and keeps it when it is unlinked.
type node struct {
	fd   int
	tree int
	dir  bool // a directory
	// watch is the directory's watch, 0 if it is not watched.
	watch WatchID

	refs int // guarded by the table's lock: one for the handle, one per running request

	stream struct {
		sync.Mutex        // held for the whole of one readdir
		fd         int    // an open directory, or -1
		cookie     uint64 // where it stands
	}
}

// A nodeTable gives out the handles of a connection. A handle is an index and
// the generation of that index, so a stale handle names nothing.
type nodeTable struct {
	watcher watcher

	mu    sync.Mutex
	max   int
	slots []nodeSlot
	free  []uint32 // released indices
}

type nodeSlot struct {
	gen  uint32
	node *node
}

// add makes a handle for a descriptor that the table then owns, as it does the
// directory's watch. At the connection's limit it fails with EMFILE and leaves
// both to the caller.
func (t *nodeTable) add(fd, tree int, dir bool, watch WatchID) (uint64, unix.Errno) {
	n := &node{fd: fd, tree: tree, dir: dir, watch: watch, refs: 1}
	n.stream.fd = -1
	t.mu.Lock()
	defer t.mu.Unlock()
	var i uint32
	if k := len(t.free); k > 0 {
		i = t.free[k-1]
		t.free = t.free[:k-1]
	} else {
		if len(t.slots) >= t.max {
			return 0, unix.EMFILE
		}
		i = uint32(len(t.slots))
		t.slots = append(t.slots, nodeSlot{})
	}
	s := &t.slots[i]
	s.gen++
	s.node = n
	return uint64(s.gen)<<32 | uint64(i), 0
}

// get returns the node of a handle, which stays open until put; nil if the
// handle is stale or was never given out.
func (t *nodeTable) get(h uint64) *node {
	i, gen := uint32(h), uint32(h>>32)
	t.mu.Lock()
	defer t.mu.Unlock()
	if int(i) >= len(t.slots) || t.slots[i].gen != gen || t.slots[i].node == nil {
		return nil
	}
	n := t.slots[i].node
	n.refs++
	return n
}

// put ends the use of a node that get returned.
func (t *nodeTable) put(n *node) {
	t.mu.Lock()
	n.refs--
	last := n.refs == 0
	t.mu.Unlock()
	if last {
		t.close(n)
	}
}

// release takes a handle back; a stale one is ignored.
func (t *nodeTable) release(h uint64) {
	i, gen := uint32(h), uint32(h>>32)
	t.mu.Lock()
	if int(i) >= len(t.slots) || t.slots[i].gen != gen || t.slots[i].node == nil {
		t.mu.Unlock()
		return
	}
	n := t.slots[i].node
	t.slots[i].node = nil
	t.free = append(t.free, i)
	n.refs--
	last := n.refs == 0
	t.mu.Unlock()
	if last {
		t.close(n)
	}
}

// closeAll releases every handle.
func (t *nodeTable) closeAll() {
	for i := range t.slots {
		if t.slots[i].node != nil {
			t.release(uint64(t.slots[i].gen)<<32 | uint64(i))
		}
	}
}

func (t *nodeTable) close(n *node) {
	t.watcher.remove(n.watch)
	closeFD(n.fd)
	if n.stream.fd >= 0 {
		closeFD(n.stream.fd)
	}
}
