package unixsocket

import (
	"cmp"
	"slices"

	"golang.org/x/sys/unix"
)

// A Diagnosis is what sock_diag(7) tells of a socket.
type Diagnosis struct {
	Type     int
	State    uint8 // TCP_ESTABLISHED (1), TCP_CLOSE (7) or TCP_LISTEN (10)
	Inode    uint64
	Cookie   uint64
	Owner    uint32   // kernel id
	Name     string   // a path, or NUL and an abstract name
	VFSInode uint64   // of a path
	Peer     uint64   // inode; 0: none
	Pending  []uint64 // inodes of connections to be accepted; 0 for one that has no file yet
	Received int      // bytes that wait, or connections
	Backlog  int      // of a listener
	Buffer   int      // SO_SNDBUF, bytes
}

// Diagnose returns all sockets of the namespace.
func (n *Names) Diagnose() []Diagnosis {
	n.mu.Lock()
	sockets := make([]*Socket, 0, len(n.all))
	for s := range n.all {
		sockets = append(sockets, s)
	}
	n.mu.Unlock()
	slices.SortFunc(sockets, func(a, b *Socket) int { return cmp.Compare(a.number, b.number) })
	l := make([]Diagnosis, 0, len(sockets))
	for _, s := range sockets {
		s.mu.Lock()
		d := Diagnosis{Type: s.common.Type, State: 7, Inode: s.common.Inode.Load(), Cookie: s.common.Cookie(), Owner: s.common.Owner.Load(),
			Name: s.name, Buffer: s.sndbuf}
		switch s.state {
		case connected:
			d.State = 1
		case listening:
			d.State, d.Backlog, d.Received = 10, s.backlog, len(s.pending)
			for _, p := range s.pending {
				d.Pending = append(d.Pending, p.common.Inode.Load())
			}
		}
		if s.peer != nil {
			d.Peer = s.peer.common.Inode.Load()
		}
		if s.inode != nil {
			d.VFSInode = s.inode.Ino()
		}
		s.mu.Unlock()
		if d.State != 10 {
			d.Received = s.in.size(s.common.Type != unix.SOCK_STREAM)
		}
		l = append(l, d)
	}
	return l
}
