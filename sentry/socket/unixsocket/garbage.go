package unixsocket

import (
	"sync"
	"sync/atomic"

	"casemate/vfs"
)

// A collector ends sockets that nobody can use any more because only messages refer to them that
// wait in such sockets themselves: a socket that was sent to itself and closed, say. It looks when a
// socket is closed and when many are on their way.
//
// What it decides on does not change meanwhile: with mu held no socket begins to be on its way and
// none ends, and a socket gets references otherwise only from who receives from one that is in use.
type collector struct {
	flying atomic.Int64 // len(flights)

	mu      sync.Mutex        // taken before a socket's and a queue's
	flights map[*vfs.File]int // sockets on their way, and in how many messages each is
	enough  int               // how many sockets on their way are looked at again

	running, wanted atomic.Bool
}

// garbage is the collector of all network namespaces, between which sockets can be sent.
var garbage = collector{flights: map[*vfs.File]int{}, enough: minEnough}

const minEnough = 1000

// takeOff says that files are on their way.
func (c *collector) takeOff(files []*vfs.File) {
	if c.count(files, 1) {
		c.run()
	}
}

// land says that they are no more.
func (c *collector) land(files []*vfs.File) { c.count(files, -1) }

func (c *collector) count(files []*vfs.File, n int) (enough bool) {
	for _, f := range files {
		if _, ok := f.Ops().(*Socket); !ok {
			continue
		}
		c.mu.Lock()
		if c.flights[f] += n; c.flights[f] == 0 {
			delete(c.flights, f)
		}
		c.flying.Store(int64(len(c.flights)))
		enough = len(c.flights) >= c.enough
		c.mu.Unlock()
	}
	return enough
}

// run collects, unless nothing is on its way. It is called with no lock held; what it lets go of
// calls it again, and is not waited for.
func (c *collector) run() {
	if c.flying.Load() == 0 {
		return
	}
	c.wanted.Store(true)
	for c.wanted.Load() && c.running.CompareAndSwap(false, true) {
		c.wanted.Store(false)
		for _, f := range c.collect() {
			f.drop()
		}
		c.running.Store(false)
	}
}

// collect takes what waits in sockets that cannot be reached.
func (c *collector) collect() (left []*filesInFlight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Sockets to which only messages refer, and how many messages elsewhere than in such sockets.
	outside := map[*vfs.File]int{}
	for f, n := range c.flights {
		if f.Refs() == int64(n) {
			outside[f] = n
		}
	}
	for f := range outside {
		f.Ops().(*Socket).holds(func(held *vfs.File) {
			if _, ok := outside[held]; ok {
				outside[held]--
			}
		})
	}
	var used []*vfs.File
	for f, n := range outside {
		if n > 0 {
			used = append(used, f)
		}
	}
	for len(used) > 0 {
		f := used[len(used)-1]
		used = used[:len(used)-1]
		if _, ok := outside[f]; ok {
			delete(outside, f)
			f.Ops().(*Socket).holds(func(held *vfs.File) { used = append(used, held) })
		}
	}
	for f := range outside {
		for _, q := range f.Ops().(*Socket).queues() {
			files, _ := q.empty()
			left = append(left, files...)
		}
	}
	c.enough = max(minEnough, 2*(len(c.flights)-len(outside)))
	return left
}

// queues are what waits for the socket, and for the connections that it has not accepted.
func (s *Socket) queues() []*queue {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := []*queue{&s.in}
	for _, other := range s.pending {
		l = append(l, &other.in)
	}
	return l
}

// holds calls visit with each file that waits for the socket.
func (s *Socket) holds(visit func(*vfs.File)) {
	for _, q := range s.queues() {
		q.mu.Lock()
		for i := range q.marks[q.first:] {
			if k := &q.marks[q.first+i]; k.file != nil {
				for _, f := range k.file.control.Files {
					visit(f)
				}
			}
		}
		q.mu.Unlock()
	}
}
