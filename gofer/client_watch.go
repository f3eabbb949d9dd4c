package gofer

import (
	"bytes"
	"encoding/binary"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A Change is a name in a watched directory that has come or gone, whoever did it.
type Change struct {
	Name string
	Gone bool
	// Lost says that changes have been lost: any name may have come or gone.
	Lost bool
}

// A WatchID is by which changes in a directory are told; 0 if it is not watched.
type WatchID int32

// A Watch is what hears of the changes in a directory.
type Watch struct {
	c    *Client
	id   WatchID
	tell func(Change)
}

// A feed is what a client hears of changes by.
type feed struct {
	stop  int           // an eventfd: the client has ended
	ended chan struct{} // nil if the server watches nothing

	mu      sync.Mutex // of reading, so that what is told is told in order
	fd      int        // the inotify instance; -1 if there is none any more
	buf     []byte
	watches struct {
		sync.Mutex
		of map[WatchID]*Watch
	}
}

// gather is how long changes are left to gather before they are read, once some have been:
// a client's own changes are among them, and are no reason to wake it each time.
const gather = 10 * time.Millisecond

// Watch has tell called for each change in a directory, whose handle came with id, for as long
// as the client keeps that handle. It returns nil if id is 0. tell is called for one change
// after the other.
func (c *Client) Watch(id WatchID, tell func(Change)) *Watch {
	if id == 0 || c.changes.watches.of == nil {
		return nil
	}
	w := &Watch{c: c, id: id, tell: tell}
	all := &c.changes.watches
	all.Lock()
	defer all.Unlock()
	all.of[w.id] = w
	return w
}

// Stop ends a watch, which may be nil.
func (w *Watch) Stop() {
	if w == nil {
		return
	}
	all := &w.c.changes.watches
	all.Lock()
	defer all.Unlock()
	if all.of[w.id] == w {
		delete(all.of, w.id)
	}
}

// CatchUp has told all changes that were made before it is called when it returns.
func (c *Client) CatchUp() {
	c.changes.read()
}

// open begins to listen on the instance fd, which it owns; -1 for none.
func (n *feed) open(fd int) (err error) {
	n.fd, n.stop = fd, -1
	if fd < 0 {
		return nil
	}
	if n.stop, err = unix.Eventfd(0, unix.EFD_CLOEXEC); err != nil {
		return err
	}
	n.buf, n.ended = make([]byte, 64<<10), make(chan struct{})
	n.watches.of = map[WatchID]*Watch{}
	go n.listen(fd)
	return nil
}

// close makes listen end, which closes the descriptors, and waits for that.
func (n *feed) close() {
	if n.ended != nil {
		unix.Write(n.stop, []byte{1, 0, 0, 0, 0, 0, 0, 0})
		<-n.ended
	}
}

// listen tells changes until the client ends.
func (n *feed) listen(fd int) {
	defer close(n.ended)
	fds := [2]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}, {Fd: int32(n.stop), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(fds[:], -1); err != nil && err != unix.EINTR {
			break
		}
		if fds[1].Revents != 0 {
			break
		}
		if fds[0].Revents == 0 {
			continue
		}
		if !n.read() {
			break
		}
		time.Sleep(gather)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	unix.Close(fd)
	unix.Close(n.stop)
	n.fd = -1
}

// read reads and tells what there is; false means that nothing more will come.
func (n *feed) read() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	for n.fd >= 0 {
		size, err := unix.Read(n.fd, n.buf)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EAGAIN:
			return true
		case err != nil || size == 0:
			return false
		}
		n.tell(n.buf[:size])
	}
	return false
}

// eventHeader is the size of an event's part before the name (inotify(7)): watch, mask, cookie,
// length.
const eventHeader = 16

// tell tells the changes in b, which is what the host has written.
func (n *feed) tell(b []byte) {
	le := binary.NativeEndian
	for len(b) >= eventHeader {
		id, mask, size := WatchID(le.Uint32(b)), le.Uint32(b[4:]), int(le.Uint32(b[12:]))
		if size > len(b)-eventHeader {
			return
		}
		name := b[eventHeader : eventHeader+size]
		b = b[eventHeader+size:]
		if mask&unix.IN_Q_OVERFLOW != 0 {
			for _, w := range n.all() {
				w.tell(Change{Lost: true})
			}
			continue
		}
		if mask&watchMask == 0 {
			continue
		}
		n.watches.Lock()
		w := n.watches.of[id]
		n.watches.Unlock()
		if w == nil {
			continue
		}
		if i := bytes.IndexByte(name, 0); i >= 0 {
			name = name[:i]
		}
		w.tell(Change{Name: string(name), Gone: mask&(unix.IN_DELETE|unix.IN_MOVED_FROM) != 0})
	}
}

// all are all watches.
func (n *feed) all() []*Watch {
	n.watches.Lock()
	defer n.watches.Unlock()
	all := make([]*Watch, 0, len(n.watches.of))
	for _, w := range n.watches.of {
		all = append(all, w)
	}
	return all
}
