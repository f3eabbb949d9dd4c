// Package filter is the packet filter of a stack: it runs the base chains that its front
// ends (packages nft and iptables) have put at the five hooks of package ip, in the order of
// their priorities, with connection tracking and NAT at the places that Linux has for them.
// Without chains there is no hook, and packets do not come by here.
//
// # Locks
//
// Filter.mu is for changes; packets see an immutable list.
package filter

import (
	"cmp"
	"slices"
	"sync"

	"casemate/netstack/conntrack"
	"casemate/netstack/ip"
	"casemate/netstack/pkt"
	"golang.org/x/sys/unix"
)

// A Verdict is what becomes of a packet at a hook.
type Verdict int32

// The verdicts of base chains.
const (
	Drop Verdict = iota
	Accept
)

// Priorities of what has its fixed place at a hook (NF_IP_PRI_*).
const (
	PriRaw         = -300
	PriTrack       = -200
	PriMangle      = -150
	PriDestination = -100
	PriFilter      = 0
	PriSecurity    = 50
	PriSource      = 100
	priConfirm     = 1<<31 - 1
)

// A Base is a base chain.
type Base struct {
	Family   uint8 // unix.AF_INET or AF_INET6
	Hook     int   // NF_INET_*
	Priority int
	// NAT says that only the first packet of a connection is shown to the chain, which decides what replaces its addresses.
	NAT bool
	Run func(c *Context) Verdict
}

// A Filter is the packet filter of a stack.
type Filter struct {
	Stack *ip.Stack
	// Conns are the connections. They are tracked while a front end asks for it.
	Conns *conntrack.Table
	// Log writes a line to the kernel's log. It is set before the first packet; nil: nothing is written.
	Log func(text string)

	mu struct {
		sync.Mutex
		fronts map[string]front
	}
}

// front is what a front end has installed.
type front struct {
	bases []Base
	track bool
}

// New makes the filter of a stack.
func New(s *ip.Stack) *Filter {
	f := &Filter{Stack: s, Conns: conntrack.NewTable(s.Wheel, conntrack.NewParams(&s.Sysctl))}
	f.mu.fronts = map[string]front{}
	return f
}

// Install replaces the chains of a front end. track says that it needs to know of
// connections; NAT implies it.
func (f *Filter) Install(name string, bases []Base, track bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(bases) == 0 && !track {
		delete(f.mu.fronts, name)
	} else {
		f.mu.fronts[name] = front{bases, track}
	}
	if len(f.mu.fronts) == 0 {
		f.Stack.SetHook(nil)
		return
	}
	var all []Base
	nat := false
	track = false
	for _, x := range f.mu.fronts {
		all = append(all, x.bases...)
		track = track || x.track
		nat = nat || slices.ContainsFunc(x.bases, func(b Base) bool { return b.NAT })
	}
	slices.SortStableFunc(all, func(a, b Base) int { return cmp.Compare(a.Priority, b.Priority) })
	var h hooks
	for k, family := range families {
		for hook := range h[k] {
			h[k][hook] = f.steps(all, family, hook, track || nat, nat)
		}
	}
	f.Stack.SetHook(func(at int, p *pkt.Packet, in, out *ip.Interface) error { return f.run(&h, at, p, in, out) })
}

var families = [...]uint8{unix.AF_INET, unix.AF_INET6}

// hooks are the steps at each hook, by the index of the family.
type hooks [len(families)][unix.NF_INET_NUMHOOKS][]func(*Context) Verdict

// steps are what a packet goes through at a hook.
func (f *Filter) steps(all []Base, family uint8, hook int, track, nat bool) []func(*Context) Verdict {
	type step struct {
		priority int
		run      func(*Context) Verdict
	}
	var l []step
	var natChains []Base
	for _, b := range all {
		switch {
		case b.Family != family || b.Hook != hook:
		case b.NAT:
			natChains = append(natChains, b)
		default:
			l = append(l, step{b.Priority, b.Run})
		}
	}
	first := hook == unix.NF_INET_PRE_ROUTING || hook == unix.NF_INET_LOCAL_OUT
	last := hook == unix.NF_INET_LOCAL_IN || hook == unix.NF_INET_POST_ROUTING
	if track && first {
		l = append(l, step{PriTrack, f.track})
	}
	if nat && first {
		l = append(l, step{PriDestination, func(c *Context) Verdict { return f.translate(c, conntrack.Destination, natChains) }})
	}
	if nat && last {
		l = append(l, step{PriSource, func(c *Context) Verdict { return f.translate(c, conntrack.Source, natChains) }})
	}
	if track && last {
		l = append(l, step{priConfirm, f.confirm})
	}
	slices.SortStableFunc(l, func(a, b step) int { return cmp.Compare(a.priority, b.priority) })
	run := make([]func(*Context) Verdict, len(l))
	for i := range l {
		run[i] = l[i].run
	}
	return run
}

// run is the ip.Hook.
func (f *Filter) run(h *hooks, at int, p *pkt.Packet, in, out *ip.Interface) error {
	k := 0
	if p.Dst.Is6() {
		k = 1
	}
	steps := h[k][at]
	if len(steps) == 0 {
		return nil
	}
	c := contexts.Get().(*Context)
	*c = Context{Filter: f, Packet: p, Hook: at, Family: families[k], In: in, Out: out}
	v := Accept
	for _, s := range steps {
		if v = s(c); v == Drop {
			break
		}
	}
	*c = Context{}
	contexts.Put(c)
	if v == Drop {
		p.Free()
		return unix.EPERM
	}
	return nil
}

var contexts = sync.Pool{New: func() any { return new(Context) }}

// track finds out the packet's connection.
func (f *Filter) track(c *Context) Verdict {
	if at, proto, frag := c.Transport(); frag == 0 {
		f.Conns.Track(c.Packet, at, proto)
	}
	return Accept
}

// confirm makes the connection of a packet that has got through known.
func (f *Filter) confirm(c *Context) Verdict {
	if !f.Conns.Confirm(c.Packet) {
		return Drop
	}
	return Accept
}

// translate replaces an end of the packet by what its connection has there, about which the
// chains decide when the connection is new.
func (f *Filter) translate(c *Context, m conntrack.Manip, chains []Base) Verdict {
	conn := c.Conn()
	if conn == nil {
		return Accept
	}
	if c.Info() == conntrack.New && !conn.Decided(m) {
		for _, b := range chains {
			if b.Run(c) == Drop {
				return Drop
			}
			if conn.Decided(m) {
				break
			}
		}
		if !conn.Decided(m) && !f.Conns.Replace(conn, m, &conntrack.Range{}) {
			return Drop
		}
	}
	at, proto, frag := c.Transport()
	if frag == 0 && !f.Conns.Rewrite(c.Packet, at, proto, m) {
		return Drop
	}
	return Accept
}

// Close ends what runs by itself. The stack is about to be closed.
func (f *Filter) Close() {
	f.Stack.SetHook(nil)
	f.Conns.Close()
}
