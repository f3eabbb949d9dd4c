package vfs

import (
	"math"
	"strings"
	"sync"
	"sync/atomic"
)

// A Dentry is a name in a directory, cached. A negative one says that there is
// no such name. Lookups that hit take no lock: the names of a directory are a
// hash table whose chains are read while they change; a reader may miss an entry
// that moves, never find a wrong one, and who misses looks again with the lock.
type Dentry struct {
	sb    *Superblock
	at    atomic.Pointer[dentryAt]
	inode atomic.Pointer[Inode]
	// refs counts who uses the dentry: open files, mounts, working directories,
	// walks, child dentries. deadRefs is added when it has left the cache.
	refs  atomic.Int64
	next  atomic.Pointer[Dentry] // in the chain of the parent's table
	table atomic.Pointer[dentryTable]
	// mounted is how many mounts there are on this dentry, in all namespaces.
	mounted atomic.Int32
	// unhashed says that the name is gone or that the dentry is not to be
	// found by lookups any more.
	unhashed atomic.Bool
	// recent and listed belong to the LRU: used since it was last looked at; is in it.
	recent, listed   atomic.Bool
	lruNext, lruPrev *Dentry

	// mu guards changes of table and of the chains in it.
	mu sync.Mutex
}

const deadRefs = math.MinInt64 / 2

// dentryAt is where a dentry is; a rename replaces it.
type dentryAt struct {
	parent *Dentry // nil for a root
	name   string
	hash   uint32
}

type dentryTable struct {
	count   int // guarded by the directory's Dentry.mu
	buckets []atomic.Pointer[Dentry]
}

// Inode is the object of that name; nil if d is negative.
func (d *Dentry) Inode() *Inode { return d.inode.Load() }

// Superblock is the file system that d belongs to.
func (d *Dentry) Superblock() *Superblock { return d.sb }

// Parent is the directory that d is in; nil for a root.
func (d *Dentry) Parent() *Dentry { return d.at.Load().parent }

// Name is the last component of d's path.
func (d *Dentry) Name() string { return d.at.Load().name }

// Unlinked reports whether d's name has been removed: "(deleted)".
func (d *Dentry) Unlinked() bool { return d.unhashed.Load() }

// IncRef takes a reference; the caller has one, or holds what has.
func (d *Dentry) IncRef() { d.refs.Add(1) }

// tryIncRef takes a reference, or reports that d has left the cache.
func (d *Dentry) tryIncRef() bool {
	if d.refs.Add(1) > 0 {
		return true
	}
	d.refs.Add(-1)
	return false
}

// DecRef gives a reference back. The dentry stays in the cache for a while.
func (d *Dentry) DecRef() {
	for d != nil {
		n := d.refs.Add(-1)
		if n != 0 {
			if n < 0 && n > deadRefs/2 {
				panic("vfs: dentry reference dropped twice")
			}
			return
		}
		if !d.unhashed.Load() && d.sb.Flags&SBNoCache == 0 && d.at.Load().parent != nil {
			d.sb.lru.used(d)
			return
		}
		d = d.kill()
	}
}

// kill takes d, which nobody uses, out of the cache, if that still is so. It
// returns the parent, whose reference the caller must drop; nil if d lives.
func (d *Dentry) kill() *Dentry {
	if !d.refs.CompareAndSwap(0, deadRefs) {
		return nil
	}
	d.sb.lru.remove(d)
	parent := d.at.Load().parent
	if parent != nil {
		parent.removeChild(d)
	}
	if in := d.inode.Load(); in != nil {
		if in.nlink.Load() == 0 && in.sb.vfs.watched() {
			in.notifyGone()
		}
		in.DecRef()
	}
	return parent
}

// child finds a cached name without a lock and without a reference. It may miss.
func (d *Dentry) child(name string, hash uint32) *Dentry {
	t := d.table.Load()
	if t == nil {
		return nil
	}
	for c := t.buckets[hash&uint32(len(t.buckets)-1)].Load(); c != nil; c = c.next.Load() {
		at := c.at.Load()
		if at.hash == hash && at.parent == d && at.name == name && !c.unhashed.Load() {
			return c
		}
	}
	return nil
}

// pinChild finds a cached name and takes a reference; nil if there is none.
func (d *Dentry) pinChild(name string, hash uint32) *Dentry {
	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.table.Load()
	if t == nil {
		return nil
	}
	for c := t.buckets[hash&uint32(len(t.buckets)-1)].Load(); c != nil; c = c.next.Load() {
		at := c.at.Load()
		if at.hash == hash && at.name == name && !c.unhashed.Load() && c.tryIncRef() {
			return c
		}
	}
	return nil
}

// newChild makes a dentry for name in d and caches it, with a reference. It takes
// over the reference to in, which may be nil. The caller holds the lock of d's
// directory for writing and knows that there is none of that name.
func (d *Dentry) newChild(name string, hash uint32, in *Inode) *Dentry {
	c := &Dentry{sb: d.sb}
	c.at.Store(&dentryAt{parent: d, name: strings.Clone(name), hash: hash})
	c.inode.Store(in)
	c.refs.Store(1)
	d.IncRef()
	d.mu.Lock()
	d.insert(c)
	d.mu.Unlock()
	return c
}

// newUnhashedChild makes a dentry that lookups do not find (O_TMPFILE).
func (d *Dentry) newUnhashedChild(name string, in *Inode) *Dentry {
	c := &Dentry{sb: d.sb}
	c.at.Store(&dentryAt{parent: d, name: name})
	c.inode.Store(in)
	c.unhashed.Store(true)
	c.refs.Store(1)
	d.IncRef()
	return c
}

// insert adds c to the table; d.mu is held.
func (d *Dentry) insert(c *Dentry) {
	t := d.table.Load()
	if t == nil {
		t = &dentryTable{buckets: make([]atomic.Pointer[Dentry], 4)}
		d.table.Store(t)
	} else if t.count >= 2*len(t.buckets) {
		t = t.grown()
		d.table.Store(t)
	}
	b := &t.buckets[c.at.Load().hash&uint32(len(t.buckets)-1)]
	c.next.Store(b.Load())
	b.Store(c)
	t.count++
}

// grown moves all entries to a table of twice the size. Each entry is moved to
// the front of a chain of entries moved before, so readers of the old chains never
// go round in a circle.
func (t *dentryTable) grown() *dentryTable {
	n := &dentryTable{count: t.count, buckets: make([]atomic.Pointer[Dentry], 2*len(t.buckets))}
	for i := range t.buckets {
		for c := t.buckets[i].Load(); c != nil; {
			next := c.next.Load()
			b := &n.buckets[c.at.Load().hash&uint32(len(n.buckets)-1)]
			c.next.Store(b.Load())
			b.Store(c)
			c = next
		}
	}
	return n
}

// removeChild takes c out of the table, if it is there.
func (d *Dentry) removeChild(c *Dentry) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.remove(c)
}

// remove is removeChild with d.mu held.
func (d *Dentry) remove(c *Dentry) {
	t := d.table.Load()
	if t == nil {
		return
	}
	p := &t.buckets[c.at.Load().hash&uint32(len(t.buckets)-1)]
	for e := p.Load(); e != nil; e = p.Load() {
		if e == c {
			p.Store(c.next.Load())
			t.count--
			return
		}
		p = &e.next
	}
}

// unhash makes lookups not find d any more: its name is gone. The caller holds a
// reference, and the directory's lock for writing.
func (d *Dentry) unhash() {
	if d.unhashed.Swap(true) {
		return
	}
	if p := d.at.Load().parent; p != nil {
		p.removeChild(d)
	}
}

// move makes d the name in the directory of parent. Both directories are locked
// for writing, and nothing hashed has the name.
func (d *Dentry) move(parent *Dentry, name string, hash uint32) {
	old := d.at.Load()
	old.parent.removeChild(d)
	parent.IncRef()
	parent.mu.Lock()
	d.at.Store(&dentryAt{parent: parent, name: strings.Clone(name), hash: hash})
	parent.insert(d)
	parent.mu.Unlock()
	old.parent.DecRef()
}

// swap exchanges the places of two dentries; see move.
func (d *Dentry) swap(e *Dentry) {
	a, b := d.at.Load(), e.at.Load()
	a.parent.removeChild(d)
	b.parent.removeChild(e)
	d.at.Store(&dentryAt{parent: b.parent, name: b.name, hash: b.hash})
	e.at.Store(&dentryAt{parent: a.parent, name: a.name, hash: a.hash})
	b.parent.mu.Lock()
	b.parent.insert(d)
	b.parent.mu.Unlock()
	a.parent.mu.Lock()
	a.parent.insert(e)
	a.parent.mu.Unlock()
}

// Within reports whether d is dir or below it.
func (d *Dentry) Within(dir *Dentry) bool {
	for ; d != nil; d = d.at.Load().parent {
		if d == dir {
			return true
		}
	}
	return false
}

// Drop forgets the cached names below d that nobody uses, and makes those in use
// unfindable, for a file system that has learned that they are stale. No lock is
// held.
func (d *Dentry) Drop() {
	d.mu.Lock()
	var all []*Dentry
	if t := d.table.Load(); t != nil {
		for i := range t.buckets {
			for c := t.buckets[i].Load(); c != nil; c = c.next.Load() {
				if c.tryIncRef() {
					all = append(all, c)
				}
			}
		}
	}
	d.mu.Unlock()
	for _, c := range all {
		if c.mounted.Load() == 0 {
			c.Drop()
			c.unhash()
		}
		c.DecRef()
	}
}

// A dentryLRU has the unused dentries of a Superblock, the oldest first. Dentries
// that come into use stay in it until it is their turn.
type dentryLRU struct {
	mu         sync.Mutex
	head, tail *Dentry
	count      int
}

// used notes that d has just come out of use.
func (l *dentryLRU) used(d *Dentry) {
	if !d.recent.Load() {
		d.recent.Store(true)
	}
	if d.listed.Load() {
		return
	}
	l.mu.Lock()
	if d.listed.Load() || d.refs.Load() < 0 {
		l.mu.Unlock()
		return
	}
	d.listed.Store(true)
	l.append(d)
	l.count++
	over := l.count > d.sb.DentryLimit
	l.mu.Unlock()
	if over {
		l.shrink(d.sb, d.sb.DentryLimit-d.sb.DentryLimit/16)
	}
}

func (l *dentryLRU) append(d *Dentry) {
	d.lruPrev, d.lruNext = l.tail, nil
	if l.tail != nil {
		l.tail.lruNext = d
	} else {
		l.head = d
	}
	l.tail = d
}

func (l *dentryLRU) unlink(d *Dentry) {
	if d.lruPrev != nil {
		d.lruPrev.lruNext = d.lruNext
	} else {
		l.head = d.lruNext
	}
	if d.lruNext != nil {
		d.lruNext.lruPrev = d.lruPrev
	} else {
		l.tail = d.lruPrev
	}
	d.lruNext, d.lruPrev = nil, nil
}

// remove takes a dead dentry out.
func (l *dentryLRU) remove(d *Dentry) {
	l.mu.Lock()
	if d.listed.Load() {
		d.listed.Store(false)
		l.unlink(d)
		l.count--
	}
	l.mu.Unlock()
}

// shrink drops unused dentries until no more than keep are left. Those that were
// used since they were last looked at get another round, unless keep is 0.
func (l *dentryLRU) shrink(sb *Superblock, keep int) {
	l.mu.Lock()
	rounds := 2 * l.count
	for l.count > keep && rounds > 0 {
		rounds--
		d := l.head
		l.unlink(d)
		if keep > 0 && d.recent.Swap(false) && d.refs.Load() == 0 {
			l.append(d)
			continue
		}
		d.listed.Store(false)
		l.count--
		l.mu.Unlock()
		if d.refs.Load() == 0 {
			if p := d.kill(); p != nil {
				p.DecRef()
			}
		}
		l.mu.Lock()
	}
	l.mu.Unlock()
}
