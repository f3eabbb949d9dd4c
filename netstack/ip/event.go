package ip

// An Event is a change of a stack's configuration. What it is about is as it was after the change,
// or, if Removed, before.
type Event struct {
	Removed bool
	// Interface is what has changed, if the others are nil; else the interface that they are of.
	Interface *Interface
	Address   *Address
	Was       *Address    // what Address was before, if it was there
	Route     *RouteEntry // Interface is nil
	Neighbour *Neighbour
	Rule      *Rule    // Interface is nil
	Nexthop   *Nexthop // Interface is nil
}

// A Watcher is told of changes.
type Watcher interface {
	// Watching reports whether anybody wants to know.
	Watching() bool
	// Changed is called in the order of the changes, with locks of the stack held: it must not
	// call the stack, nor wait.
	Changed(e *Event)
}

// Watch sets who is told of changes. It is called before the first.
func (s *Stack) Watch(w Watcher) { s.watcher = w }

func (s *Stack) tell(e Event) {
	if s.watched() {
		s.watcher.Changed(&e)
	}
}

func (s *Stack) watched() bool { return s.watcher != nil && s.watcher.Watching() }

// tellDifference tells of what addresses and routes have come, changed and gone from one snapshot
// to the next. s.mu is held.
func (s *Stack) tellDifference(old, c *config) {
	for _, i := range old.ifaces {
		if c.byIndex[i.index] != i {
			for k := range old.addrs[i.index] {
				s.tell(Event{Interface: i, Address: &old.addrs[i.index][k], Removed: true})
			}
		}
	}
	for _, i := range c.ifaces {
		was := old.addrs[i.index]
		if old.byIndex[i.index] != i {
			was = nil
		}
		for k := range was {
			if a := &was[k]; find(i.addrs, a) == nil {
				s.tell(Event{Interface: i, Address: a, Removed: true})
			}
		}
		for k := range i.addrs {
			a := &i.addrs[k]
			if o := find(was, a); o == nil || *o != *a {
				s.tell(Event{Interface: i, Address: a, Was: o})
			}
		}
	}
	for k := range old.routes {
		r := &old.routes[k]
		i := c.byIndex[r.OIF]
		if r.Dst.Addr().Is4() && r.OIF != 0 && (i == nil || !i.up()) {
			continue // that goes without saying
		}
		if !containsRoute(c.routes, r) {
			s.tell(Event{Route: r, Removed: true})
		}
	}
	for k := range c.routes {
		if r := &c.routes[k]; !containsRoute(old.routes, r) {
			s.tell(Event{Route: r})
		}
	}
}

// find is the address of l that has the prefix of a, or nil.
func find(l []Address, a *Address) *Address {
	for k := range l {
		if l[k].Prefix == a.Prefix {
			return &l[k]
		}
	}
	return nil
}

func containsRoute(l []RouteEntry, r *RouteEntry) bool {
	for k := range l {
		if l[k] == *r {
			return true
		}
	}
	return false
}
