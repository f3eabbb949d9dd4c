package nft

import (
	"maps"
	"slices"

	"golang.org/x/sys/unix"
)

// A Transaction is a batch of changes that has been begun. It sees what it has changed;
// packets see it when it is committed.
type Transaction struct {
	r *Ruleset

	tables    []*table
	newChains map[*table]*named[*chain]
	newSets   map[*table]*named[*set]
	newObjs   map[*table]map[objectKey]*object
	newRules  map[*chain][]*rule
	newElems  map[*set]*elements
	policies  map[*chain]int32
	flags     map[*table]uint32
	names     map[*chain]string

	// By the numbers that the messages of this batch give to what they make.
	chainIDs map[uint32]*chain
	setIDs   map[uint32]*set
	ruleIDs  map[uint32]*rule

	uses    map[any]int // how often chains, sets and objects are referred to; nil: not counted yet
	changed bool
	events  [][]byte
}

// Begin begins a transaction. It waits for the one before. Commit or Abort must follow.
func (r *Ruleset) Begin() *Transaction {
	r.mu.Lock()
	return r.view()
}

// view is a Transaction by which things are read. r.mu is held.
func (r *Ruleset) view() *Transaction {
	return &Transaction{r: r, tables: slices.Clone(r.mu.tables),
		newChains: map[*table]*named[*chain]{}, newSets: map[*table]*named[*set]{}, newObjs: map[*table]map[objectKey]*object{},
		newRules: map[*chain][]*rule{}, newElems: map[*set]*elements{}, policies: map[*chain]int32{}, flags: map[*table]uint32{}, names: map[*chain]string{},
		chainIDs: map[uint32]*chain{}, setIDs: map[uint32]*set{}, ruleIDs: map[uint32]*rule{}}
}

// Abort forgets the changes.
func (x *Transaction) Abort() { x.r.mu.Unlock() }

// Commit makes the changes, and returns the messages for those who watch (NFNLGRP_NFTABLES).
// ELOOP, EMLINK, EOPNOTSUPP if the chains do not make sense together: then nothing is
// changed.
func (x *Transaction) Commit() (events [][]byte, err error) {
	defer x.r.mu.Unlock()
	if !x.changed {
		return nil, nil
	}
	if err := x.check(); err != nil {
		return nil, err
	}
	for t, n := range x.newChains {
		t.chains = *n
	}
	for t, n := range x.newSets {
		t.sets = *n
	}
	for t, n := range x.newObjs {
		t.objects = n
	}
	for c, p := range x.policies {
		c.base.policy.Store(p)
	}
	for t, f := range x.flags {
		t.flags = f
	}
	for c, n := range x.names {
		c.name = n
	}
	for s, e := range x.newElems {
		s.elements.Store(e)
	}
	for c, l := range x.newRules {
		c.rules.Store(&l)
	}
	x.r.mu.tables = x.tables
	x.r.mu.gen++
	x.r.install()
	return x.events, nil
}

func (x *Transaction) chains(t *table) *named[*chain] {
	if n := x.newChains[t]; n != nil {
		return n
	}
	return &t.chains
}

func (x *Transaction) changeChains(t *table) *named[*chain] {
	if x.newChains[t] == nil {
		x.newChains[t] = t.chains.clone()
	}
	return x.newChains[t]
}

func (x *Transaction) sets(t *table) *named[*set] {
	if n := x.newSets[t]; n != nil {
		return n
	}
	return &t.sets
}

func (x *Transaction) changeSets(t *table) *named[*set] {
	if x.newSets[t] == nil {
		x.newSets[t] = t.sets.clone()
	}
	return x.newSets[t]
}

func (x *Transaction) objects(t *table) map[objectKey]*object {
	if n := x.newObjs[t]; n != nil {
		return n
	}
	return t.objects
}

func (x *Transaction) changeObjects(t *table) map[objectKey]*object {
	if x.newObjs[t] == nil {
		m := maps.Clone(t.objects)
		if m == nil {
			m = map[objectKey]*object{}
		}
		x.newObjs[t] = m
	}
	return x.newObjs[t]
}

func (x *Transaction) rulesOf(c *chain) []*rule {
	if l, ok := x.newRules[c]; ok {
		return l
	}
	return c.current()
}

// changeRules returns rules that can be changed; setRules puts them back.
func (x *Transaction) changeRules(c *chain) []*rule {
	if l, ok := x.newRules[c]; ok {
		return l
	}
	return slices.Clone(c.current())
}

func (x *Transaction) setRules(c *chain, l []*rule) { x.newRules[c] = l }

func (x *Transaction) elementsOf(s *set) *elements {
	if e := x.newElems[s]; e != nil {
		return e
	}
	return s.elements.Load()
}

func (x *Transaction) changeElements(s *set) *elements {
	if x.newElems[s] == nil {
		x.newElems[s] = s.elements.Load().clone()
	}
	return x.newElems[s]
}

func (x *Transaction) policyOf(c *chain) int32 {
	if p, ok := x.policies[c]; ok {
		return p
	}
	return c.base.policy.Load()
}

func (x *Transaction) nameOf(c *chain) string {
	if n, ok := x.names[c]; ok {
		return n
	}
	return c.name
}

func (x *Transaction) flagsOf(t *table) uint32 {
	if f, ok := x.flags[t]; ok {
		return f
	}
	return t.flags
}

// references counts what refers to a chain, set or object.
func (x *Transaction) references(to any) int {
	if x.uses == nil {
		x.uses = map[any]int{}
		for _, t := range x.tables {
			for _, c := range x.chains(t).list {
				for _, u := range x.rulesOf(c) {
					x.count(u, 1)
				}
			}
			for _, s := range x.sets(t).list {
				for _, e := range x.elementsOf(s).list() {
					x.countElement(e, 1)
				}
			}
		}
	}
	return x.uses[to]
}

// count notes a rule that comes (1) or goes (-1).
func (x *Transaction) count(u *rule, n int) {
	if x.uses == nil {
		return
	}
	for i := range u.exprs {
		if r, ok := u.exprs[i].expr.(referrer); ok {
			for _, to := range r.references() {
				x.uses[to] += n
			}
		}
	}
}

// countElement notes an element of a set that comes or goes.
func (x *Transaction) countElement(e *element, n int) {
	if x.uses == nil {
		return
	}
	for _, to := range e.data.references() {
		x.uses[to] += n
	}
	if e.object != nil {
		x.uses[e.object] += n
	}
}

// addRule puts a rule into a chain at a place.
func (x *Transaction) addRule(c *chain, at int, u *rule) {
	x.count(u, 1)
	x.setRules(c, slices.Insert(x.changeRules(c), at, u))
}

// removeRule takes a rule out of a chain, and the sets and chains with it that only it had.
func (x *Transaction) removeRule(c *chain, at int) {
	l := x.changeRules(c)
	u := l[at]
	x.setRules(c, slices.Delete(l, at, at+1))
	x.dropped(c.table, u)
}

// dropped notes that a rule is gone.
func (x *Transaction) dropped(t *table, u *rule) {
	x.count(u, -1)
	for i := range u.exprs {
		r, ok := u.exprs[i].expr.(referrer)
		if !ok {
			continue
		}
		for _, to := range r.references() {
			switch to := to.(type) {
			case *set:
				if to.flags&unix.NFT_SET_ANONYMOUS != 0 {
					x.removeSet(t, to)
				}
			case *chain:
				if to.flags&chainBinding != 0 && x.references(to) == 0 {
					x.removeChain(to)
				}
			}
		}
	}
}

// removeChain removes a chain with its rules.
func (x *Transaction) removeChain(c *chain) {
	rules := x.rulesOf(c)
	x.setRules(c, nil)
	for _, u := range rules {
		x.dropped(c.table, u)
	}
	x.changeChains(c.table).remove(x.nameOf(c))
	maps.DeleteFunc(x.chainIDs, func(_ uint32, o *chain) bool { return o == c })
}

// removeSet removes a set with its elements.
func (x *Transaction) removeSet(t *table, s *set) {
	for _, e := range x.elementsOf(s).list() {
		x.countElement(e, -1)
	}
	x.changeSets(t).remove(s.name)
	maps.DeleteFunc(x.setIDs, func(_ uint32, o *set) bool { return o == s })
}

// check looks whether chains that packets get to call each other without end or too deep, and
// whether expressions are where they can be.
func (x *Transaction) check() error {
	for _, t := range x.tables {
		for _, c := range x.chains(t).list {
			if c.base != nil {
				w := walk{x: x, base: c.base, deepest: map[*chain]int{}}
				if err := w.chain(c, 1); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// A walk follows the jumps from a chain.
type walk struct {
	x       *Transaction
	base    *base
	deepest map[*chain]int // at which depth a chain has been looked at
	path    []*chain
}

func (w *walk) chain(c *chain, depth int) error {
	if slices.Contains(w.path, c) {
		return unix.ELOOP
	}
	if depth > maxJumps {
		return unix.EMLINK
	}
	if w.deepest[c] >= depth {
		return nil
	}
	w.deepest[c] = depth
	w.path = append(w.path, c)
	defer func() { w.path = w.path[:len(w.path)-1] }()
	for _, u := range w.x.rulesOf(c) {
		for i := range u.exprs {
			if err := w.expr(u.exprs[i].expr, depth); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w *walk) expr(e expr, depth int) error {
	if d, ok := e.(demanding); ok {
		need := d.demands()
		if need.nat && w.base.typ != "nat" || need.hooks != 0 && need.hooks&(1<<w.base.hook) == 0 {
			return unix.EOPNOTSUPP
		}
	}
	r, ok := e.(referrer)
	if !ok {
		return nil
	}
	for _, to := range r.references() {
		switch to := to.(type) {
		case *chain:
			if err := w.chain(to, depth+1); err != nil {
				return err
			}
		case *set:
			if !to.verdicts() {
				continue
			}
			for _, e := range w.x.elementsOf(to).list() {
				if v := e.data.verdict; v != nil && v.chain != nil {
					if err := w.chain(v.chain, depth+1); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}
