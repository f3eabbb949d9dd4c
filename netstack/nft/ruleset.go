// Package nft is nftables: tables, chains, rules, sets and objects, as programs configure them
// by messages of netlink (NFNL_SUBSYS_NFTABLES), and the evaluation of rules for packets.
//
// What is configured consists of objects whose identity stays and whose contents are
// replaced: packets see a chain's rules and a set's elements by an atomic pointer. A
// Transaction collects new contents and puts them there when it is committed, so a batch
// of messages takes effect as a whole or not at all.
//
// # Locks
//
// Ruleset.mu is held by a Transaction from Begin to its end, and while something is read for
// a program. Packets take it never; they take elements.mu of sets that rules add to.
package nft

import (
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
)

// Families of tables (NFPROTO_*).
const (
	familyInet = unix.NFPROTO_INET
	family4    = unix.NFPROTO_IPV4
	family6    = unix.NFPROTO_IPV6
)

// A Ruleset is what nftables has of a network namespace.
type Ruleset struct {
	filter *filter.Filter

	mu struct {
		sync.Mutex
		tables []*table
		gen    uint32
		handle uint64 // the last that was given to a table
	}
}

// New makes an empty ruleset for a filter.
func New(f *filter.Filter) *Ruleset {
	r := &Ruleset{filter: f}
	r.mu.gen = 1
	return r
}

// A table has chains, sets and objects. Its lists are replaced, never changed.
type table struct {
	family   uint8
	name     string
	handle   uint64
	flags    uint32 // NFT_TABLE_F_*
	userdata []byte

	chains  named[*chain]
	sets    named[*set]
	objects map[objectKey]*object

	last uint64 // the last handle that was given to something in it
}

func (t *table) nextHandle() uint64 {
	t.last++
	return t.last
}

// named are things by name, in the order of their making.
type named[T interface {
	comparable
	key() string
}] struct {
	list   []T
	byName map[string]T
}

func (n *named[T]) get(name string) (T, bool) {
	x, ok := n.byName[name]
	return x, ok
}

// clone returns a copy that can be changed.
func (n *named[T]) clone() *named[T] {
	c := &named[T]{list: append(make([]T, 0, len(n.list)+1), n.list...), byName: make(map[string]T, len(n.byName)+1)}
	for k, v := range n.byName {
		c.byName[k] = v
	}
	return c
}

func (n *named[T]) add(x T) {
	n.list = append(n.list, x)
	n.byName[x.key()] = x
}

func (n *named[T]) remove(name string) {
	x, ok := n.byName[name]
	if !ok {
		return
	}
	delete(n.byName, name)
	i := slices.Index(n.list, x)
	n.list = slices.Delete(n.list, i, i+1)
}

// A chain has rules. A base chain has a hook.
type chain struct {
	table    *table
	name     string
	handle   uint64
	flags    uint32
	userdata []byte
	base     *base // nil: only jumped to

	rules atomic.Pointer[[]*rule]
}

func (c *chain) key() string { return c.name }

// current are the chain's rules as packets see them.
func (c *chain) current() []*rule {
	if l := c.rules.Load(); l != nil {
		return *l
	}
	return nil
}

// base is what a base chain has besides.
type base struct {
	hook     int
	priority int32
	typ      string // filter, nat, route
	policy   atomic.Int32
	counter  *filter.Counter // of what the policy decides; nil: not counted
}

// A rule is a list of expressions. It does not change.
type rule struct {
	handle   uint64
	exprs    []expression
	userdata []byte
}

// An expression is a step of a rule.
type expression struct {
	name string
	expr expr
}

// expr does what an expression says.
type expr interface {
	// eval works on the registers. It leaves r.verdict, unless the rule ends here.
	eval(r *registers, c *filter.Context)
	// dump appends the attributes of NFTA_EXPR_DATA.
	dump(d *dumper)
}

// A referrer is an expr that needs chains, sets or objects.
type referrer interface{ references() []any }

// A demanding expr is one that only some chains can have, or that has connections tracked.
type demanding interface{ demands() demands }

type demands struct {
	track bool
	nat   bool // only in chains of type nat
	hooks uint // bits of the hooks at which it may be; 0: all
}

// install gives the filter what the tables say. r.mu is held.
func (r *Ruleset) install() {
	var bases []filter.Base
	track := false
	for _, t := range r.mu.tables {
		for _, c := range t.chains.list {
			for _, u := range c.current() {
				for _, e := range u.exprs {
					if d, ok := e.expr.(demanding); ok && d.demands().track {
						track = true
					}
				}
			}
			if c.base == nil || t.flags&unix.NFT_TABLE_F_DORMANT != 0 {
				continue
			}
			if len(c.current()) == 0 && c.base.policy.Load() == acceptVerdict && c.base.counter == nil {
				continue // it does nothing
			}
			for _, family := range [...]uint8{unix.AF_INET, unix.AF_INET6} {
				if t.family == familyInet || t.family == family {
					bases = append(bases, filter.Base{Family: family, Hook: c.base.hook, Priority: int(c.base.priority), NAT: c.base.typ == "nat", Run: c.run})
				}
			}
		}
	}
	r.filter.Install("nftables", bases, track)
}
