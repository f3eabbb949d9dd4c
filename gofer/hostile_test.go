package gofer

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A prey is a server that no client of ours sits before: its memory is
// written directly. Its tree lies beside files that must stay as they are.
type prey struct {
	s       *Server
	base    string // holds "tree", "secret" and "file"
	clients []int  // the client's ends of the slots' sockets
	conn    int
	secret  Attr
}

func newPrey(t testing.TB) *prey {
	base := t.TempDir()
	check(t, os.MkdirAll(base+"/tree/dir", 0o755))
	check(t, os.Mkdir(base+"/secret", 0o755))
	write(t, base+"/secret/file", "secret")
	write(t, base+"/tree/file", "file")
	check(t, os.Symlink("../secret", base+"/tree/link"))
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	tr := tree(t, base+"/tree")
	tr.Connect = true
	s, err := newServer(p[0], []Tree{tr})
	check(t, err)
	b := make([]byte, helloSize)
	oob := make([]byte, unix.CmsgSpace(4*(numSlots+1)))
	_, n, _, _, err := unix.Recvmsg(p[1], b, oob, unix.MSG_CMSG_CLOEXEC)
	check(t, err)
	msgs, err := unix.ParseSocketControlMessage(oob[:n])
	check(t, err)
	fds, err := unix.ParseUnixRights(&msgs[0])
	check(t, err)
	unix.Close(fds[0])
	return &prey{s, base, fds[1:], p[1], lstat(t, base+"/secret/file")}
}

// drain throws donated descriptors away, after a look at each.
func (p *prey) drain(t testing.TB, slot int) {
	for {
		fd, e := recvFD(p.clients[slot])
		if e != 0 {
			return
		}
		var st unix.Stat_t
		check(t, unix.Fstat(fd, &st))
		if typ := st.Mode & unix.S_IFMT; typ != unix.S_IFREG && typ != unix.S_IFSOCK || st.Ino == p.secret.Ino {
			t.Errorf("the server donated a descriptor of inode %d, mode %o", st.Ino, st.Mode)
		}
		unix.Close(fd)
	}
}

// intact fails if anything outside the tree has changed.
func (p *prey) intact(t testing.TB) {
	t.Helper()
	a := lstat(t, p.base+"/secret/file")
	a.Atime = p.secret.Atime
	if a != p.secret {
		t.Fatalf("the file outside the tree has changed: %+v, was %+v", a, p.secret)
	}
	for dir, want := range map[string]int{p.base: 2, p.base + "/secret": 1} {
		ents, err := os.ReadDir(dir)
		check(t, err)
		if len(ents) != want {
			t.Fatalf("%s has changed: %v", dir, ents)
		}
	}
}

func (p *prey) close() {
	unix.Close(p.conn)
	for _, fd := range p.clients {
		unix.Close(fd)
	}
}

// seeds are requests of each operation, well-formed ones among them.
func seeds() [][]byte {
	root := uint64(1) << 32
	names := []string{"file", "dir", "link", "new", "..", "a/b", "", "nul\x00"}
	var all [][]byte
	add := func(code op, fill func(e *encoder)) {
		e := encoder{b: make([]byte, 2048), n: reqHeader}
		fill(&e)
		binary.LittleEndian.PutUint16(e.b, uint16(code))
		binary.LittleEndian.PutUint32(e.b[4:], uint32(e.n-reqHeader))
		all = append(all, e.b[:e.n])
	}
	add(opAttach, func(e *encoder) { e.u32(0) })
	for _, name := range names {
		target := Target{Node(root), name}
		entry := func(e *encoder) { e.u64(root); putString(e, name) }
		add(opWalk, func(e *encoder) { e.u64(root); e.u16(1); e.u16(2); putString(e, name); putString(e, "file") })
		add(opGetattr, func(e *encoder) { e.u16(1); e.target(&target) })
		add(opReaddir, func(e *encoder) { e.u64(root); e.u64(0); e.u32(4096) })
		add(opOpen, func(e *encoder) { e.target(&target); e.u32(unix.O_RDWR) })
		add(opCreate, func(e *encoder) { entry(e); e.u32(unix.O_RDWR); e.u32(0o644); e.u32(0); e.u32(0) })
		add(opMkdir, func(e *encoder) { entry(e); e.u32(0o755); e.u32(0); e.u32(0) })
		add(opSymlink, func(e *encoder) { entry(e); putString(e, "../secret"); e.u32(0); e.u32(0) })
		add(opLink, func(e *encoder) { e.target(&target); entry(e) })
		add(opMknod, func(e *encoder) { entry(e); e.u32(unix.S_IFIFO | 0o644); e.u64(0); e.u64(0) })
		add(opUnlink, func(e *encoder) { entry(e); e.u32(0) })
		add(opRename, func(e *encoder) { entry(e); entry(e); e.u32(0) })
		add(opSetattr, func(e *encoder) { e.target(&target); e.putSetAttr(&SetAttr{Valid: SetMode | SetSize, Mode: 0o600}) })
		add(opReadlink, func(e *encoder) { e.target(&target) })
		add(opGetxattr, func(e *encoder) { e.target(&target); e.u32(100); putString(e, "user.a") })
		add(opSetxattr, func(e *encoder) { e.target(&target); e.u32(0); e.u32(2); e.bytes([]byte("ab")); putString(e, "user.a") })
		add(opListxattr, func(e *encoder) { e.target(&target); e.u32(100) })
		add(opRemovexattr, func(e *encoder) { e.target(&target); putString(e, "user.a") })
		add(opConnect, func(e *encoder) { e.target(&target); e.u32(unix.SOCK_STREAM) })
	}
	add(opStatfs, func(e *encoder) { e.u64(root) })
	add(opSync, func(e *encoder) { e.u64(root); e.u32(0) })
	add(opFallocate, func(e *encoder) { e.u64(root); e.u32(0); e.u64(0); e.u64(1) })
	add(opRelease, func(e *encoder) {})
	return all
}

// FuzzRequest puts bytes where a request is expected.
func FuzzRequest(f *testing.F) {
	for _, b := range seeds() {
		f.Add(b)
	}
	p := newPrey(f)
	requests, served := make(chan struct{}), make(chan struct{})
	go func() {
		w := newWorker(p.s, firstWorker)
		w.enter()
		for range requests {
			w.serve(0)
			served <- struct{}{}
		}
	}()
	f.Fuzz(func(t *testing.T, b []byte) {
		p.s.nodes.closeAll()
		p.s.nodes.slots, p.s.nodes.free = nil, nil
		fd, _ := fcntlDup(p.s.trees[0].FD)
		if h, e := p.s.nodes.add(fd, 0, true, 0); h != 1<<32 || e != 0 {
			t.Fatalf("the root's handle is %#x, %v", h, e)
		}
		os.WriteFile(p.base+"/tree/file", nil, 0o644)
		copy(p.s.mem.request(0), b)
		requests <- struct{}{}
		<-served
		reply := p.s.mem.reply(0)
		e, n := binary.LittleEndian.Uint32(reply), binary.LittleEndian.Uint32(reply[4:])
		if e > maxErrno || n > replyArea-replyHeader || e != 0 && n != 0 {
			t.Fatalf("errno %d, length %d", e, n)
		}
		p.drain(t, 0)
		p.intact(t)
	})
}

// TestScribble writes random bytes to the shared memory while requests, many
// of them well-formed, are in flight.
func TestScribble(t *testing.T) {
	before := settledFDs(t) + 1 // the tree, which the test closes
	p := newPrey(t)
	served := make(chan error, 1)
	go func() { served <- p.s.Serve() }()
	mem := p.s.mem // a second mapping would be the same memory
	all := seeds()
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for i := range 20000 {
				slot := rnd.IntN(numSlots)
				switch rnd.IntN(4) {
				case 0: // a word of the control page
					mem.word(4 * rnd.IntN(headerArea/4)).Store(rnd.Uint32() & 0x1ffff)
				case 1: // bytes of a request that may just be read
					b := mem.request(slot)[:64]
					b[rnd.IntN(len(b))] = byte(rnd.Uint32())
				default:
					copy(mem.request(slot), all[rnd.IntN(len(all))])
					mem.pending().Or(1 << slot)
					futexWake(mem.pending(), 1, anySleeper)
				}
				if i%16 == 0 {
					p.drain(t, slot)
				}
			}
		})
	}
	wg.Wait()
	p.intact(t)
	// It still serves: a request in a slot of its own gets its answer.
	deadline := time.Now().Add(30 * time.Second)
	e := encoder{b: mem.request(3), n: reqHeader}
	e.u32(0)
	binary.LittleEndian.PutUint32(e.b, uint32(opAttach))
	binary.LittleEndian.PutUint32(e.b[4:], 4)
	for reply := mem.reply(3); ; runtime.Gosched() {
		// A request that was posted before may still be served there.
		binary.LittleEndian.PutUint32(reply[4:], 0)
		mem.pending().Or(1 << 3)
		futexWake(mem.pending(), 1, anySleeper)
		if binary.LittleEndian.Uint32(reply[4:]) == 16+attrSize {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the server does not answer any more")
		}
	}
	p.close()
	if err := <-served; err != nil {
		t.Errorf("Serve: %v", err)
	}
	wantFDs(t, before)
}

// TestProtocolErrors sends malformed requests by way of the client's slots.
func TestProtocolErrors(t *testing.T) {
	c, _, root := dirPair(t)
	tests := []struct {
		what string
		code op
		fill func(e *encoder)
		want unix.Errno
	}{
		{"no operation", 0, func(e *encoder) {}, unix.ENOSYS},
		{"an unknown operation", numOps, func(e *encoder) {}, unix.ENOSYS},
		{"the greatest operation", 0xffff, func(e *encoder) {}, unix.ENOSYS},
		{"an empty body", opWalk, func(e *encoder) {}, unix.EPROTO},
		{"a field too many", opStatfs, func(e *encoder) { e.u64(uint64(root)); e.u8(0) }, unix.EPROTO},
		{"fewer names than announced", opWalk, func(e *encoder) { e.u64(uint64(root)); e.u16(0); e.u16(2); putString(e, "a") }, unix.EPROTO},
		{"more names than announced", opWalk, func(e *encoder) {
			e.u64(uint64(root))
			e.u16(0)
			e.u16(1)
			putString(e, "a")
			putString(e, "b")
		}, unix.EPROTO},
		{"dot-dot after a good name", opWalk, func(e *encoder) {
			e.u64(uint64(root))
			e.u16(0)
			e.u16(2)
			putString(e, "a")
			putString(e, "..")
		}, unix.EPROTO},
		{"a slash", opMkdir, func(e *encoder) { e.u64(uint64(root)); putString(e, "a/b"); e.u32(0o700); e.u32(0); e.u32(0) }, unix.EPROTO},
		{"dot-dot", opMkdir, func(e *encoder) { e.u64(uint64(root)); putString(e, ".."); e.u32(0o700); e.u32(0); e.u32(0) }, unix.EPROTO},
		{"an empty name", opMkdir, func(e *encoder) { e.u64(uint64(root)); putString(e, ""); e.u32(0o700); e.u32(0); e.u32(0) }, unix.EPROTO},
		{"no NUL", opReadlink, func(e *encoder) { e.u64(uint64(root)); e.u16(1); e.bytes([]byte("ab")) }, unix.EPROTO},
		{"too many targets", opGetattr, func(e *encoder) { e.u16(maxGetattr + 1) }, unix.EPROTO},
		{"a tree that is not there", opAttach, func(e *encoder) { e.u32(1 << 31) }, unix.ENOENT},
		{"a handle that is not there", opStatfs, func(e *encoder) { e.u64(1 << 60) }, unix.ESTALE},
		{"a value longer than the request", opSetxattr, func(e *encoder) {
			e.target(&Target{root, ""})
			e.u32(0)
			e.u32(1 << 31)
			putString(e, "user.a")
		}, unix.EPROTO},
	}
	for _, tt := range tests {
		s := c.begin()
		tt.fill(&s.req)
		_, e := c.call(s, tt.code)
		c.end(s)
		if e != tt.want {
			t.Errorf("%s: %v, want %v", tt.what, e, tt.want)
		}
	}
	// Lengths that go beyond the area.
	for _, head := range []uint64{0xffffffff<<32 | uint64(opStatfs), uint64(reqArea-reqHeader+1)<<32 | uint64(opStatfs),
		uint64(maxReleases+1)<<16 | uint64(opRelease), 0xffff<<16 | uint64(opRelease)} {
		s := c.begin()
		binary.LittleEndian.PutUint64(s.req.b, head)
		c.mem.state(s.i).Store(statePosted)
		c.mem.pending().Or(1 << s.i)
		futexWake(c.mem.pending(), 1, anySleeper)
		c.await(c.mem.state(s.i))
		if e := unix.Errno(binary.LittleEndian.Uint32(c.mem.reply(s.i))); e != unix.EPROTO {
			t.Errorf("header %#x: %v", head, e)
		}
		c.end(s)
	}
}

// TestHostileServer checks what the client makes of replies that lie.
func TestHostileServer(t *testing.T) {
	replies := map[string]func(e *encoder){
		"a length beyond the area": func(e *encoder) { binary.LittleEndian.PutUint32(e.b[4:], 1<<31) },
		"no such errno":            func(e *encoder) { binary.LittleEndian.PutUint64(e.b, 0xffff) },
		"nothing":                  func(e *encoder) { binary.LittleEndian.PutUint64(e.b, 0) },
		"more entries than names":  func(e *encoder) { binary.LittleEndian.PutUint64(e.b, 8<<32); e.u16(0); e.u16(60); e.u32(0) },
		"a name with a slash": func(e *encoder) {
			e.u64(5)
			e.u32(1)
			e.u32(1)
			e.u64(1)
			e.u64(2)
			e.u16(0)
			e.bytes(make([]byte, attrSize))
			putString(e, "../x")
			binary.LittleEndian.PutUint64(e.b, uint64(e.n-replyHeader)<<32)
		},
		"no descriptor": func(e *encoder) {
			e.u64(5)
			e.bytes(make([]byte, attrSize))
			binary.LittleEndian.PutUint64(e.b, uint64(e.n-replyHeader)<<32)
		},
	}
	calls := map[string]func(c *Client) error{
		"walk":     func(c *Client) error { _, _, _, err := c.Walk(1, []string{"a"}, false, make([]Entry, 1)); return err },
		"readdir":  func(c *Client) error { _, _, _, err := c.Readdir(1, 0, 4096, nil); return err },
		"open":     func(c *Client) error { _, err := c.Open(Node(1).At(), 0); return err },
		"getattr":  func(c *Client) error { _, err := c.Getattr(Node(1).At()); return err },
		"getxattr": func(c *Client) error { _, err := c.Getxattr(Node(1).At(), "user.a", make([]byte, 1)); return err },
	}
	for what, fill := range replies {
		for name, call := range calls {
			p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
			check(t, err)
			s, err := newServer(p[0], nil)
			check(t, err)
			c, err := Dial(p[1])
			check(t, err)
			quit := make(chan struct{})
			var wg sync.WaitGroup
			wg.Go(func() {
				for s.mem.pending().Load() == 0 {
					runtime.Gosched()
				}
				e := encoder{b: s.mem.reply(0), n: replyHeader}
				fill(&e)
				s.mem.state(0).Store(stateDone)
				futexWake(s.mem.state(0), 1, anySleeper)
				<-quit
			})
			if err := call(c); err != unix.EIO {
				t.Errorf("%s, the reply is %s: %v", name, what, err)
			}
			<-c.Done()
			close(quit)
			wg.Wait()
			s.closeFiles()
		}
	}
}

// TestSymlinkRace has the host exchange a directory with a symbolic link that
// leads out of the tree, while the client makes everything that takes a name.
func TestSymlinkRace(t *testing.T) {
	base := t.TempDir()
	check(t, os.MkdirAll(base+"/tree/x", 0o755))
	check(t, os.Mkdir(base+"/secret", 0o755))
	write(t, base+"/secret/file", "secret")
	write(t, base+"/tree/x/file", "file")
	check(t, os.Symlink(base+"/secret", base+"/tree/y"))
	write(t, base+"/tree/f", "file")
	check(t, os.Symlink(base+"/secret/file", base+"/tree/g"))
	secret, secretDir := lstat(t, base+"/secret/file"), lstat(t, base+"/secret")
	c := pair(t, tree(t, base+"/tree"))
	r, err := c.Attach(0)
	check(t, err)

	var over atomic.Bool
	var swapper sync.WaitGroup
	defer swapper.Wait()
	defer over.Store(true)
	swapper.Go(func() {
		for !over.Load() {
			unix.Renameat2(unix.AT_FDCWD, base+"/tree/x", unix.AT_FDCWD, base+"/tree/y", unix.RENAME_EXCHANGE)
			unix.Renameat2(unix.AT_FDCWD, base+"/tree/f", unix.AT_FDCWD, base+"/tree/g", unix.RENAME_EXCHANGE)
		}
	})
	sawDir, sawLink := 0, 0
	out := make([]Entry, 2)
	for i := range 3000 {
		n, stop, _, err := c.Walk(r.Node, []string{"x", "file"}, true, out)
		check(t, err)
		switch {
		case stop == StopSymlink && n == 1 && out[0].Attr.IsSymlink():
			sawLink++
		case stop == StopNone && out[1].Attr.Ino != secret.Ino && out[0].Attr.Ino != secretDir.Ino:
			sawDir++
			if o, err := c.Create(out[0].Node, fmt.Sprint("new", i), unix.O_RDWR, 0o600, 0, 0); err == nil {
				unix.Close(o.FD)
				c.Release(o.Node)
			}
		default:
			t.Fatalf("walk: %d entries, stop %d, %+v", n, stop, out)
		}
		for _, e := range out[:n] {
			c.Release(e.Node)
		}
		f := Target{r.Node, "f"}
		for _, create := range []bool{false, true} {
			var o Opened
			if create {
				var cr Created
				cr, err = c.Create(f.Node, f.Name, unix.O_RDWR|unix.O_TRUNC, 0o600, 0, 0)
				o = cr.Opened
			} else {
				o, err = c.Open(f, unix.O_RDWR)
			}
			if err == nil {
				var st unix.Stat_t
				check(t, unix.Fstat(o.FD, &st))
				unix.Close(o.FD)
				c.Release(o.Node)
				if st.Ino == secret.Ino {
					t.Fatal("opened the file outside the tree")
				}
			} else if err != unix.ELOOP {
				t.Fatal(err)
			}
		}
		c.Setattr(f, &SetAttr{Valid: SetMode | SetMtime | SetSize | SetUID, Mode: 0o777, Size: 3, UID: 1})
		c.Setxattr(f, "user.x", []byte("x"), 0)
		c.Link(f, r.Node, fmt.Sprint("hard", i))
		if i%64 == 0 {
			c.Readdir(r.Node, 0, 1<<20, nil)
		}
	}
	over.Store(true)
	swapper.Wait()
	t.Logf("%d directories, %d links", sawDir, sawLink)
	got := lstat(t, base+"/secret/file")
	got.Atime = secret.Atime
	if got != secret {
		t.Errorf("the file outside the tree has changed: %+v, was %+v", got, secret)
	}
	if n, _ := unix.Listxattr(base+"/secret/file", nil); n != 0 {
		t.Error("the file outside the tree has got an attribute")
	}
	if ents, _ := os.ReadDir(base + "/secret"); len(ents) != 1 {
		t.Errorf("the directory outside the tree has changed: %v", ents)
	}
	filepath.WalkDir(base+"/tree", func(path string, _ os.DirEntry, err error) error {
		check(t, err)
		if a := lstat(t, path); a.Ino == secret.Ino {
			t.Errorf("%s is a link to the file outside the tree", path)
		}
		return nil
	})
}

// TestReleaseRace releases handles of directories while a walk passes through
// them.
func TestReleaseRace(t *testing.T) {
	c, dir, root := dirPair(t)
	check(t, os.MkdirAll(dir+"/a/b/c/d/e/f/g/h", 0o755))
	names := []string{"a", "b", "c", "d", "e", "f", "g", "h"}
	var over atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer over.Store(true)
	wg.Go(func() {
		for !over.Load() {
			for i := range uint64(10) {
				for gen := range uint64(20) {
					if h := gen<<32 | i; Node(h) != root {
						c.Release(Node(h))
					}
				}
			}
			c.Flush()
		}
	})
	want := lstat(t, dir+"/a/b/c/d/e/f/g/h").Ino
	out := make([]Entry, len(names))
	for range 2000 {
		n, stop, _, err := c.Walk(root, names, false, out)
		if err == nil && (n != len(names) || stop != StopNone || out[n-1].Attr.Ino != want) || err != nil && err != unix.ESTALE {
			t.Fatalf("%d entries, stop %d, %v", n, stop, err)
		}
		for _, e := range out[:n] {
			c.Release(e.Node)
		}
	}
}
