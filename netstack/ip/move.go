package ip

import (
	"slices"

	"golang.org/x/sys/unix"
)

// Move moves an interface with its link from s to another stack, which has the same Backlog: what
// becomes of it there is down and has neither addresses nor routes. It gets another index if its own
// is taken. EEXIST if the name is, EINVAL for the loopback interface, ENODEV if i is not s's.
func (s *Stack) Move(i *Interface, to *Stack, name string) (*Interface, error) {
	if i.loopback() || to == s {
		return nil, unix.EINVAL
	}
	n := to.newInterface(name, i.link)
	n.origin = i.origin
	n.mtu.Store(i.mtu.Load())
	n.mac.Store(i.mac.Load())
	n.auto.Store(i.auto.Load())
	err := to.insert(n, i.index)
	if err == unix.EEXIST && to.InterfaceByName(name) == nil {
		err = to.insert(n, 0)
	}
	if err != nil {
		return nil, err
	}
	i.release()
	if err := s.extract(i); err != nil {
		to.extract(n)
		return nil, err
	}
	i.quiet()
	// What the link receives from now on is n's: the link goes on to give it to the interface
	// to which it was attached.
	n.origin.heir.Store(n)
	n.setLinkUp(false)
	return n, nil
}

// current is where the packets of the interface's link go.
func (i *Interface) current() *Interface {
	if h := i.heir.Load(); h != nil {
		return h
	}
	return i
}

// Current is the interface that has the link that i was made for: i, or what it has become by Move.
// It may have been removed.
func (i *Interface) Current() *Interface { return i.origin.current() }

// insert makes a new interface part of the stack. EEXIST if its name or the index is taken; ENODEV
// if the stack is closed.
func (s *Stack) insert(i *Interface, index int32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return ifaceError
	}
	for _, o := range s.mu.ifaces {
		if o.Name() == i.Name() || o.index == index {
			return unix.EEXIST
		}
	}
	if index == 0 {
		index = s.mu.nextIndex
	}
	i.index = index
	i.register()
	s.mu.nextIndex = max(s.mu.nextIndex, index) + 1
	s.mu.ifaces = append(slices.Clone(s.mu.ifaces), i)
	for _, t := range s.mu.taps {
		i.AddTap(t)
	}
	s.rebuild()
	s.tell(Event{Interface: i})
	return nil
}

// extract takes an interface out of the stack, with its addresses and routes. ENODEV if it is not
// in it.
func (s *Stack) extract(i *Interface) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := slices.Index(s.mu.ifaces, i)
	if k < 0 {
		return ifaceError
	}
	i.flags.And(^uint32(unix.IFF_UP | unix.IFF_RUNNING))
	s.mu.ifaces = slices.Delete(slices.Clone(s.mu.ifaces), k, k+1)
	s.dropRoutes(i)
	s.rebuild()
	i.unregister()
	s.tell(Event{Interface: i, Removed: true})
	return nil
}
