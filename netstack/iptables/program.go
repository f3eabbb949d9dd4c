package iptables

import (
	"bytes"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/xt"
)

// A program is a table, compiled. It does not change but for its counters.
type program struct {
	layout    *layout
	name      string
	hooks     uint32 // bits
	entryAt   [unix.NF_INET_NUMHOOKS]uint32
	underflow [unix.NF_INET_NUMHOOKS]uint32
	blob      []byte
	entries   []entry
	counters  []filter.Counter
	index     map[int]int // of entries, by offset
	tracks    bool
}

// An entry is a rule.
type entry struct {
	at      int // offset in the blob
	cond    condition
	matches []xt.Match
	target  xt.Target // nil: a standard target
	verdict int32     // of a standard target that does not jump
	jump    int       // index of the entry that a standard target jumps to; -1: it does not
	push    bool      // the entry behind is where RETURN leads
	failed  bool      // the target ERROR
	hooks   uint      // at which it can be reached
	name    string    // of the target
}

// condition is struct ipt_ip or ip6t_ip6.
type condition struct {
	family                   uint8
	src, dst, srcMask, dMask []byte
	in, out, inMask, outMask []byte
	proto                    uint16
	anyAddr                  bool // neither address counts
	fragment                 bool
	inverse                  uint8
}

// Bits of invflags.
const (
	invIn    = 0x01
	invOut   = 0x02
	invSrc   = 0x08
	invDst   = 0x10
	invFrag  = 0x20
	invProto = 0x40
)

// Special verdicts of standard targets.
const verdictReturn = -5 // XT_RETURN

// targetHeader is sizeof(struct xt_entry_target), and of xt_entry_match.
const targetHeader = 32

// compile checks the blob and reads its entries, of which there are to be n. EINVAL, ELOOP,
// ENOENT for a match or target that there is not.
func (p *program) compile(n int) error {
	if p.hooks != kinds[p.name].hooks {
		return unix.EINVAL
	}
	l := p.layout
	p.index = map[int]int{}
	for at := 0; at < len(p.blob); {
		if len(p.blob)-at < l.entry+targetHeader || len(p.entries) == n {
			return unix.EINVAL
		}
		next := int(ne.Uint16(p.blob[at+l.targetAt+2:]))
		if next < l.entry+targetHeader || next%8 != 0 || next > len(p.blob)-at {
			return unix.EINVAL
		}
		p.index[at] = len(p.entries)
		e, err := p.parse(p.blob[at:at+next], at)
		if err != nil {
			return err
		}
		p.entries = append(p.entries, e)
		at += next
	}
	if len(p.entries) != n {
		return unix.EINVAL
	}
	p.counters = make([]filter.Counter, n)
	for i := range p.entries {
		e := &p.entries[i]
		at := e.at + l.counters
		p.counters[i].Packets.Store(ne.Uint64(p.blob[at:]))
		p.counters[i].Bytes.Store(ne.Uint64(p.blob[at+8:]))
		if e.target != nil || e.failed || e.verdict < 0 {
			continue
		}
		to, ok := p.index[int(e.verdict)]
		if !ok {
			return unix.EINVAL
		}
		e.jump = to
		e.push = e.push && to != i+1
	}
	for hook := range p.entryAt {
		if p.hooks&(1<<hook) == 0 {
			continue
		}
		for _, at := range [...]uint32{p.entryAt[hook], p.underflow[hook]} {
			if _, ok := p.index[int(at)]; !ok {
				return unix.EINVAL
			}
		}
		u := &p.entries[p.index[int(p.underflow[hook])]]
		if u.target != nil || u.jump >= 0 || u.verdict != -int32(xt.Accept)-1 && u.verdict != -int32(xt.Drop)-1 || !u.unconditional() {
			return unix.EINVAL // a policy is one of these
		}
	}
	return p.follow()
}

// parse reads an entry.
func (p *program) parse(b []byte, at int) (e entry, err error) {
	l := p.layout
	e = entry{at: at, jump: -1}
	target := int(ne.Uint16(b[l.targetAt:]))
	if target < l.entry || target+targetHeader > len(b) {
		return e, unix.EINVAL
	}
	p.condition(&e.cond, b)
	use := xt.Use{Family: l.family, Proto: e.cond.proto, InverseProto: e.cond.inverse&invProto != 0}
	for m := b[l.entry:target]; len(m) > 0; {
		size, name, rev, data, err := extension(m)
		if err != nil {
			return e, err
		}
		match, err := xt.NewMatch(use, name, rev, data)
		if err != nil {
			return e, err
		}
		p.tracks = p.tracks || xt.Tracks(name)
		e.matches = append(e.matches, match)
		m = m[size:]
	}
	size, name, rev, data, err := extension(b[target:])
	if err != nil || target+size > len(b) {
		return e, unix.EINVAL
	}
	e.name = name
	switch name {
	case "":
		if len(data) < 4 {
			return e, unix.EINVAL
		}
		e.verdict = int32(ne.Uint32(data))
		e.push = b[l.flags]&l.goTo == 0
		switch e.verdict {
		case -int32(xt.Accept) - 1, -int32(xt.Drop) - 1, verdictReturn:
		default:
			if e.verdict < 0 {
				return e, unix.EINVAL // NFQUEUE by number
			}
		}
	case "ERROR":
		e.failed = true
	default:
		if _, nat := xt.TargetHooks(name); nat && p.name != "nat" {
			return e, unix.EINVAL
		}
		p.tracks = p.tracks || xt.Tracks(name)
		e.target, err = xt.NewTarget(use, name, rev, data)
	}
	return e, err
}

// extension reads a struct xt_entry_match or xt_entry_target.
func extension(b []byte) (size int, name string, rev uint8, data []byte, err error) {
	if len(b) < targetHeader {
		return 0, "", 0, nil, unix.EINVAL
	}
	size = int(ne.Uint16(b))
	if size < targetHeader || size > len(b) {
		return 0, "", 0, nil, unix.EINVAL
	}
	n, _, _ := bytes.Cut(b[2:31], []byte{0})
	return size, string(n), b[31], b[targetHeader:size], nil
}

func (p *program) condition(c *condition, b []byte) {
	l, n := p.layout, p.layout.addr
	c.family = l.family
	c.src, c.dst, c.srcMask, c.dMask = b[:n], b[n:2*n], b[2*n:3*n], b[3*n:4*n]
	f := b[4*n:]
	c.in, c.out, c.inMask, c.outMask = f[:16], f[16:32], f[32:48], f[48:64]
	c.inverse = b[l.inverse]
	if c.proto = ne.Uint16(b[l.proto:]); l.protoFlag != 0 && b[l.flags]&l.protoFlag == 0 {
		c.proto = 0
	}
	c.fragment = l.family == unix.AF_INET && b[l.flags]&1 != 0
	c.anyAddr = c.inverse&(invSrc|invDst) == 0 && len(bytes.Trim(b[2*n:4*n], "\x00")) == 0
}

// maxDepth is how deep chains may jump to each other.
const maxDepth = 256

// follow notes at which hooks entries can be reached, and refuses loops and targets at hooks
// where they cannot be.
func (p *program) follow() error {
	for hook := range p.entryAt {
		if p.hooks&(1<<hook) == 0 {
			continue
		}
		w := walk{p: p, bit: 1 << hook, on: map[int]bool{}}
		if err := w.from(p.index[int(p.entryAt[hook])], 0); err != nil {
			return err
		}
	}
	return nil
}

// A walk goes through what can be reached from a hook.
type walk struct {
	p   *program
	bit uint
	on  map[int]bool // chains that the walk is in, by their first entry
}

// from goes through the chain that begins with entry i: up to one that is unconditional and
// does not come back.
func (w *walk) from(i, depth int) error {
	if w.on[i] || depth > maxDepth {
		return unix.ELOOP
	}
	first := i
	w.on[first] = true
	defer delete(w.on, first)
	for ; i < len(w.p.entries); i++ {
		e := &w.p.entries[i]
		if e.hooks&w.bit != 0 {
			return nil // the rest has been seen
		}
		if hooks, _ := xt.TargetHooks(e.name); hooks != 0 && hooks&w.bit == 0 {
			return unix.EINVAL
		}
		if e.failed {
			e.hooks |= w.bit
			return nil
		}
		if e.jump >= 0 {
			if err := w.from(e.jump, depth+1); err != nil {
				return err
			}
		}
		e.hooks |= w.bit
		if e.target == nil && e.jump < 0 && e.unconditional() {
			return nil
		}
	}
	return nil
}

// unconditional reports whether an entry is for all packets.
func (e *entry) unconditional() bool {
	c := &e.cond
	zero := func(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }
	return len(e.matches) == 0 && c.anyAddr && c.proto == 0 && c.inverse == 0 && !c.fragment && zero(c.inMask) && zero(c.outMask)
}

// trivial reports whether the table lets everything pass and counts nothing but that.
func (p *program) trivial() bool {
	hooks := 0
	for hook := range p.entryAt {
		if p.hooks&(1<<hook) == 0 {
			continue
		}
		hooks++
		if e := &p.entries[p.index[int(p.entryAt[hook])]]; e.verdict != -int32(xt.Accept)-1 || p.entryAt[hook] != p.underflow[hook] {
			return false
		}
	}
	return len(p.entries) <= hooks+1
}

// stacks are those of chains that have jumped.
var stacks = sync.Pool{New: func() any { s := make([]int, 0, 32); return &s }}

// run evaluates the table at a hook.
func (p *program) run(c *filter.Context) filter.Verdict {
	s := stacks.Get().(*[]int)
	v := p.evaluate(c, s)
	*s = (*s)[:0]
	stacks.Put(s)
	return v
}

func (p *program) evaluate(c *filter.Context, s *[]int) filter.Verdict {
	underflow := p.index[int(p.underflow[c.Hook])]
	for i := p.index[int(p.entryAt[c.Hook])]; i < len(p.entries); {
		e := &p.entries[i]
		if !e.cond.holds(c) || !e.match(c) {
			i++
			continue
		}
		p.counters[i].Count(c)
		v := xt.Verdict(0)
		switch {
		case e.failed:
			return filter.Drop
		case e.target != nil:
			v = e.target.Apply(c)
		case e.jump >= 0:
			if e.push {
				if len(*s) >= maxDepth {
					return filter.Drop
				}
				*s = append(*s, i+1)
			}
			i = e.jump
			continue
		case e.verdict == verdictReturn:
			v = xt.Return
		default:
			v = xt.Verdict(-e.verdict - 1)
		}
		switch v {
		case xt.Continue:
			i++
		case xt.Return:
			if n := len(*s); n > 0 {
				i = (*s)[n-1]
				*s = (*s)[:n-1]
			} else {
				i = underflow
			}
		case xt.Accept:
			return filter.Accept
		default:
			return filter.Drop
		}
	}
	return filter.Drop
}

func (e *entry) match(c *filter.Context) bool {
	for _, m := range e.matches {
		if !m.Matches(c) {
			return false
		}
	}
	return true
}

// holds reports whether the packet has the addresses, interfaces and protocol.
func (c *condition) holds(x *filter.Context) bool {
	if !c.anyAddr {
		// Addresses stand in the network header one behind the other.
		h, at := x.Packet.Header(), 12
		if c.family == unix.AF_INET6 {
			at = 8
		}
		n := len(c.src)
		if masked(h[at:at+n], c.src, c.srcMask) == (c.inverse&invSrc != 0) || masked(h[at+n:at+2*n], c.dst, c.dMask) == (c.inverse&invDst != 0) {
			return false
		}
	}
	if device(filter.Name(x.In), c.in, c.inMask) == (c.inverse&invIn != 0) || device(filter.Name(x.Out), c.out, c.outMask) == (c.inverse&invOut != 0) {
		return false
	}
	_, proto, frag := x.Transport()
	if c.proto != 0 && (uint16(proto) == c.proto) == (c.inverse&invProto != 0) {
		return false
	}
	return !c.fragment || (frag != 0) != (c.inverse&invFrag != 0)
}

// masked reports whether a is b under a mask.
func masked(a, b, mask []byte) bool {
	for i := range a {
		if (a[i]^b[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// device reports whether an interface's name is the one under a mask.
func device(name string, want, mask []byte) bool {
	for i := range mask {
		if mask[i] == 0 {
			continue
		}
		c := byte(0)
		if i < len(name) {
			c = name[i]
		}
		if (c^want[i])&mask[i] != 0 {
			return false
		}
	}
	return true
}

// initial is a table as it is at first: it accepts everything.
func initial(l *layout, name string) *program {
	p := &program{layout: l, name: name, hooks: kinds[name].hooks}
	add := func(target string, data []byte) uint32 {
		at := len(p.blob)
		size := (targetHeader + len(data) + 7) &^ 7
		b := make([]byte, l.entry+size)
		ne.PutUint16(b[l.targetAt:], uint16(l.entry))
		ne.PutUint16(b[l.targetAt+2:], uint16(len(b)))
		t := b[l.entry:]
		ne.PutUint16(t, uint16(size))
		copy(t[2:31], target)
		copy(t[targetHeader:], data)
		p.blob = append(p.blob, b...)
		return uint32(at)
	}
	n := 1
	for hook := range p.entryAt {
		if p.hooks&(1<<hook) != 0 {
			accept := int32(xt.Accept)
			p.entryAt[hook] = add("", ne.AppendUint32(nil, uint32(-accept-1)))
			p.underflow[hook] = p.entryAt[hook]
			n++
		}
	}
	errorName := make([]byte, 30)
	copy(errorName, "ERROR")
	add("ERROR", errorName)
	if err := p.compile(n); err != nil {
		panic("iptables: the initial table: " + err.Error())
	}
	return p
}
