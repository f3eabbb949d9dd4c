package nft

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
)

// Flags of sets that x/sys does not name.
const (
	setConcat = 0x80  // NFT_SET_CONCAT
	setExpr   = 0x100 // NFT_SET_EXPR
	// setFlags are those that sets can have.
	setFlags = unix.NFT_SET_ANONYMOUS | unix.NFT_SET_CONSTANT | unix.NFT_SET_INTERVAL | unix.NFT_SET_MAP | unix.NFT_SET_TIMEOUT |
		unix.NFT_SET_EVAL | unix.NFT_SET_OBJECT | setConcat | setExpr
)

// verdictType is the data type of maps to verdicts.
const verdictType = unix.NFT_DATA_VERDICT

// A set has keys, a map (NFT_SET_MAP) also data for each.
type set struct {
	name     string
	handle   uint64
	flags    uint32
	keyType  uint32
	keyLen   int // bytes
	dataType uint32
	dataLen  int
	objType  uint32
	policy   uint32
	hasPol   bool
	size     uint32 // 0: not limited
	fields   []int  // lengths of the parts of a concatenated key, bytes
	timeout  time.Duration
	gc       uint32
	userdata []byte
	exprs    []expression // what each element gets a copy of
	parse    func() ([]expression, error)

	elements atomic.Pointer[elements]
}

func (s *set) key() string { return s.name }

func (s *set) verdicts() bool { return s.flags&unix.NFT_SET_MAP != 0 && s.dataType == verdictType }

// Bounds of sets that packets add to: the size of one that gives none, and how often what has
// timed out is removed.
const (
	maxDynamic = 65536
	sweepEvery = 10 * time.Second
)

// elements are what a set has. Rules may add to those of a set, so there is a lock.
type elements struct {
	mu     sync.RWMutex
	byKey  map[string]*element // of sets without intervals
	sorted []*element          // of intervals: by key; of equal keys the end of an interval first
	ranges []*element          // of concatenated intervals
	swept  time.Duration       // when packets last removed what has timed out
}

// An element of a set. It does not change but for its expiration.
type element struct {
	key, end  []byte // end: of concatenated intervals
	flags     uint32
	data      data
	object    *object
	timeout   time.Duration // 0: for ever
	expires   atomic.Int64  // by the wheel's clock
	userdata  []byte
	exprs     []expression
	isEndMark bool // NFT_SET_ELEM_INTERVAL_END
}

func newElements(s *set) *elements {
	e := &elements{}
	if s.flags&unix.NFT_SET_INTERVAL == 0 {
		e.byKey = map[string]*element{}
	}
	return e
}

// clone returns a copy that can be changed.
func (l *elements) clone() *elements {
	l.mu.RLock()
	defer l.mu.RUnlock()
	c := &elements{sorted: slices.Clone(l.sorted), ranges: slices.Clone(l.ranges)}
	if l.byKey != nil {
		c.byKey = make(map[string]*element, len(l.byKey))
		for k, e := range l.byKey {
			c.byKey[k] = e
		}
	}
	return c
}

// list are all elements: by key if there are intervals.
func (l *elements) list() []*element {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.byKey == nil {
		return append(slices.Clone(l.sorted), l.ranges...)
	}
	all := make([]*element, 0, len(l.byKey))
	for _, e := range l.byKey {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b *element) int { return bytes.Compare(a.key, b.key) })
	return all
}

func (l *elements) size() int { return len(l.byKey) + len(l.sorted) + len(l.ranges) }

// order is that of elements.sorted.
func order(a, b *element) int {
	if c := bytes.Compare(a.key, b.key); c != 0 || a.isEndMark == b.isEndMark {
		return c
	}
	if a.isEndMark {
		return -1
	}
	return 1
}

// dead reports whether an element has timed out.
func (e *element) dead(now time.Duration) bool {
	return e.timeout != 0 && time.Duration(e.expires.Load()) <= now
}

// same finds the element with e's key.
func (l *elements) same(e *element) *element {
	if l.byKey != nil {
		return l.byKey[string(e.key)]
	}
	if e.end != nil {
		for _, o := range l.ranges {
			if bytes.Equal(o.key, e.key) && bytes.Equal(o.end, e.end) {
				return o
			}
		}
		return nil
	}
	if i, found := slices.BinarySearchFunc(l.sorted, e, order); found {
		return l.sorted[i]
	}
	return nil
}

func (l *elements) add(e *element) {
	switch {
	case l.byKey != nil:
		l.byKey[string(e.key)] = e
	case e.end != nil:
		l.ranges = append(l.ranges, e)
	default:
		i, _ := slices.BinarySearchFunc(l.sorted, e, order)
		l.sorted = slices.Insert(l.sorted, i, e)
	}
}

func (l *elements) remove(e *element) {
	if l.byKey != nil {
		delete(l.byKey, string(e.key))
		return
	}
	is := func(o *element) bool { return o == e }
	l.sorted = slices.DeleteFunc(l.sorted, is)
	l.ranges = slices.DeleteFunc(l.ranges, is)
}

// lookup finds the element that a key is in, or nil.
func (s *set) lookup(key []byte, now time.Duration) *element {
	l := s.elements.Load()
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.byKey != nil {
		e := l.byKey[string(key)]
		if e == nil || e.dead(now) {
			return nil
		}
		return e
	}
	// The last that begins at the key or before.
	i, j := 0, len(l.sorted)
	for i < j {
		m := (i + j) / 2
		if bytes.Compare(l.sorted[m].key, key) <= 0 {
			i = m + 1
		} else {
			j = m
		}
	}
	if i > 0 && !l.sorted[i-1].isEndMark && !l.sorted[i-1].dead(now) {
		return l.sorted[i-1]
	}
	for _, e := range l.ranges {
		if !e.dead(now) && s.within(e, key) {
			return e
		}
	}
	return nil
}

// within reports whether each part of a key is in the element's range.
func (s *set) within(e *element, key []byte) bool {
	at := 0
	for _, n := range s.fields {
		part := key[at : at+n]
		if bytes.Compare(part, e.key[at:at+n]) < 0 || bytes.Compare(part, e.end[at:at+n]) > 0 {
			return false
		}
		at += (n + 3) &^ 3
	}
	return true
}

// insert adds an element on behalf of a packet, or finds the one that is there. It returns
// nil if the set is full.
func (s *set) insert(key []byte, now time.Duration, make func() *element) (e *element, isNew bool) {
	l := s.elements.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.byKey == nil {
		return nil, false
	}
	if e := l.byKey[string(key)]; e != nil && !e.dead(now) {
		return e, false
	}
	limit := int(s.size)
	if limit == 0 {
		limit = maxDynamic
	}
	if len(l.byKey) >= limit || now-l.swept > sweepEvery {
		l.swept = now
		for k, e := range l.byKey {
			if e.dead(now) {
				delete(l.byKey, k)
			}
		}
		if len(l.byKey) >= limit {
			return nil, false
		}
	}
	e = make()
	l.byKey[string(e.key)] = e
	return e, true
}

// discard removes the element with a key on behalf of a packet.
func (s *set) discard(key []byte) {
	l := s.elements.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byKey, string(key))
}

// run evaluates the expressions that an element has (a counter, a limit).
func (e *element) run(r *registers, c *filter.Context) {
	for i := range e.exprs {
		e.exprs[i].expr.eval(r, c)
		if r.verdict != continueVerdict {
			return
		}
	}
}
