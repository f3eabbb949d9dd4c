package goferfs

import (
	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/vfs"
)

// A listing is the names of a directory of a tree that is the sandbox's own.
type listing struct {
	// names has them all; nil if they are not known.
	names map[string]listed
	// places counts the names that have been put in: see listed.place.
	places uint32
	// big says that there are too many to keep.
	big bool
	// asked counts lookups that the gofer has served one by one.
	asked int
}

// A listed name has attributes as long as it has not been looked up. Then the node has
// them, and when that has gone they have to be fetched again.
type listed struct {
	ino  uint64
	attr *gofer.Attr
	// place says where the name comes when the directory is read: names keep their order,
	// what is new comes last.
	place uint32
	typ   uint8
}

const (
	// maxListing is how many names of a directory are kept.
	maxListing = 4096
	// askedBefore is how many names are looked up one by one before all are fetched.
	askedBefore = 4
)

// add and remove keep a listing true. The directory is locked for writing.
func (l *listing) add(c *node, name string) {
	if l.names != nil {
		l.names[name] = listed{ino: c.Ino(), typ: vfs.DirentType(c.Mode()), place: l.places}
		l.places++
	}
}

func (l *listing) remove(name string) {
	if l.names != nil {
		delete(l.names, name)
	}
}

// load fetches the directory's names. n.Inode.mu is held, for writing or with listMu. It
// returns what it has read even if that is too much to keep.
func (n *node) load() ([]dirent, error) {
	h, err := n.anyHandle()
	if err != nil {
		return nil, err
	}
	var batch []gofer.Dirent
	var all []dirent
	names := map[string]listed{}
	for cookie, end := uint64(0), false; !end; {
		batch, cookie, end, err = n.fs.client.Readdir(h, cookie, 1<<17, batch[:0])
		if err != nil {
			return nil, err
		}
		for i := range batch {
			e := &batch[i]
			d := dirent{name: e.Name, ino: e.Ino, typ: e.Type}
			if !e.NoAttr {
				d.typ = vfs.DirentType(e.Attr.Mode)
			}
			all = append(all, d)
			if n.fs.shared || len(all) > maxListing {
				names = nil
				continue
			}
			l := listed{ino: d.ino, typ: d.typ}
			if !e.NoAttr && (e.Attr.Nlink == 1 || d.typ == unix.DT_DIR) {
				// What has other names may change by them.
				a := e.Attr
				l.attr = &a
			}
			l.place = uint32(len(names))
			names[e.Name] = l
		}
	}
	if !n.fs.shared {
		n.list.names, n.list.places, n.list.big = names, uint32(len(names)), names == nil
	}
	return all, nil
}

// Lookup implements vfs.InodeOps.
func (n *node) Lookup(_ *vfs.Context, name string) (*vfs.Inode, error) {
	if !n.IsDir() {
		return nil, unix.ENOTDIR
	}
	n.relist()
	n.suspect(name) // not any more, for it is asked now
	l := &n.list
	if l.names == nil && !l.big && !n.fs.shared {
		if l.asked++; l.asked > askedBefore {
			if _, err := n.load(); err != nil {
				return nil, err
			}
		}
	}
	if l.names != nil {
		e, ok := l.names[name]
		if !ok {
			return nil, unix.ENOENT
		}
		if e.attr != nil {
			attr := e.attr
			e.attr = nil
			l.names[name] = e
			return &n.fs.node(attr, n, name).Inode, nil
		}
	}
	h, err := n.anyHandle()
	if err != nil {
		return nil, err
	}
	var out [1]gofer.Entry
	var found int
	var stop gofer.Stop
	var link string
	for tried := false; ; {
		// Where the host changes names, only a handle is sure to stay with its file.
		found, stop, link, err = n.fs.client.Walk(h, []string{name}, n.fs.shared, out[:])
		if !n.fs.again(err, &tried) {
			break
		}
	}
	if found == 0 {
		if stop != gofer.StopError || err == nil {
			err = unix.ENOENT
		}
		return nil, err
	}
	c := n.fs.node(&out[0].Attr, n, name)
	c.takeHandle(out[0].Node, out[0].Watch)
	if stop == gofer.StopSymlink {
		c.mu.Lock()
		c.link = link
		c.mu.Unlock()
	}
	return &c.Inode, nil
}

// takeHandle gives n a handle, with which the watch id came, unless it has one.
func (n *node) takeHandle(h gofer.Node, id gofer.WatchID) {
	n.mu.Lock()
	if n.handle == 0 {
		n.handle, h = h, 0
		n.observe(id)
	}
	n.mu.Unlock()
	n.fs.client.Release(h)
}
