package unixsocket

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// Names are the abstract names of a network namespace.
type Names struct {
	net   *kernel.NetNamespace
	stack *netstack.Stack // for ioctls on interfaces
	// Devices serves these instead, if it is not nil: the interfaces are the host's.
	Devices func(ctx *vfs.Context, cmd uint32, arg uint64) (uint64, error)

	mu   sync.Mutex
	m    map[abstract]*Socket
	auto uint32               // the last automatic name
	all  map[*Socket]struct{} // every open socket, for /proc/net/unix

	users map[cred.UID]*atomic.Int64 // how many files each user has in flight
}

// inFlight is the count of a user's files in flight.
func (n *Names) inFlight(user cred.UID) *atomic.Int64 {
	n.mu.Lock()
	defer n.mu.Unlock()
	c := n.users[user]
	if c == nil {
		c = new(atomic.Int64)
		n.users[user] = c
	}
	return c
}

// An abstract name is one of a type of sockets: each type has its own.
type abstract struct {
	name string
	typ  int
}

// NewNames returns an empty set for a namespace. stack has the interfaces that the sockets show.
func NewNames(ns *kernel.NetNamespace, stack *netstack.Stack) *Names {
	return &Names{net: ns, stack: stack, m: map[abstract]*Socket{}, all: map[*Socket]struct{}{}, users: map[cred.UID]*atomic.Int64{}}
}

// maxPath is the size of sun_path.
const maxPath = 108

func family(addr []byte) int {
	if len(addr) < 2 {
		return -1
	}
	return int(binary.NativeEndian.Uint16(addr))
}

// parse returns the name in a struct sockaddr_un: a path, or NUL and an abstract
// name, or "" to ask for an automatic one.
func parse(addr []byte) (string, error) {
	if len(addr) < 2 || len(addr) > 2+maxPath || family(addr) != unix.AF_UNIX {
		return "", unix.EINVAL
	}
	path := addr[2:]
	if len(path) > 0 && path[0] != 0 {
		for i, c := range path {
			if c == 0 {
				path = path[:i]
				break
			}
		}
	}
	return string(path), nil
}

// sockaddr is name as a struct sockaddr_un.
func sockaddr(name string) []byte { return appendSockaddr(nil, name) }

// appendSockaddr appends it to p.
func appendSockaddr(p []byte, name string) []byte {
	p = binary.NativeEndian.AppendUint16(p, unix.AF_UNIX)
	p = append(p, name...)
	if name != "" && name[0] != 0 {
		p = append(p, 0)
	}
	return p
}

// Bind implements socket.Socket.
func (s *Socket) Bind(ctx *vfs.Context, addr []byte) error {
	name, err := parse(addr)
	if err != nil {
		return err
	}
	s.bindMu.Lock()
	defer s.bindMu.Unlock()
	if s.boundName() != "" {
		return unix.EINVAL
	}
	var in *vfs.Inode
	switch {
	case name == "":
		name = s.names.automatic(s)
	case name[0] == 0:
		if err := s.names.add(name, s); err != nil {
			return err
		}
	default:
		in, err = ctx.MknodSocket(vfs.Start{}, name, 0o777)
		if err == unix.EEXIST {
			err = unix.EADDRINUSE
		}
		if err != nil {
			return err
		}
		in.BindSocket(s)
	}
	s.mu.Lock()
	s.name, s.inode = name, in
	s.mu.Unlock()
	return nil
}

func (s *Socket) boundName() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.name
}

// autobind gives a socket without a name an automatic one if it wants to be told of
// its peers' credentials.
func (s *Socket) autobind(ctx *vfs.Context) {
	if s.common.PassCred.Load() && s.boundName() == "" {
		s.Bind(ctx, sockaddr("")) // fails only if it has got a name meanwhile
	}
}

func (n *Names) add(name string, s *Socket) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	k := abstract{name, s.common.Type}
	if n.m[k] != nil {
		return unix.EADDRINUSE
	}
	n.m[k] = s
	return nil
}

// automatic binds s to a name of five hexadecimal digits (unix(7), "Autobind
// feature").
func (n *Names) automatic(s *Socket) string {
	n.mu.Lock()
	defer n.mu.Unlock()
	for {
		n.auto = (n.auto + 1) & 0xfffff
		name := fmt.Sprintf("\x00%05x", n.auto)
		if k := (abstract{name, s.common.Type}); n.m[k] == nil {
			n.m[k] = s
			return name
		}
	}
}

// forget unbinds a closed socket.
func (n *Names) forget(s *Socket, name string, inode *vfs.Inode) {
	n.mu.Lock()
	delete(n.all, s)
	if k := (abstract{name, s.common.Type}); name != "" && name[0] == 0 && n.m[k] == s {
		delete(n.m, k)
	}
	n.mu.Unlock()
	if inode != nil {
		inode.BindSocket(nil)
		inode.DecRef()
	}
}

// find returns the socket that is bound to addr, and its name. ECONNREFUSED if there
// is none, EPROTOTYPE if it is of another type.
func (n *Names) find(ctx *vfs.Context, addr []byte, typ int) (*Socket, string, error) {
	name, err := parse(addr)
	if err != nil {
		return nil, "", err
	}
	if name == "" {
		return nil, "", unix.EINVAL
	}
	var s *Socket
	if name[0] == 0 {
		n.mu.Lock()
		s = n.m[abstract{name, typ}]
		n.mu.Unlock()
	} else {
		p, err := ctx.Walk(vfs.Start{}, name, vfs.WalkFollow)
		if err != nil {
			return nil, "", err
		}
		defer p.DecRef()
		if err := ctx.Access(p, vfs.MayWrite); err != nil {
			return nil, "", err
		}
		s, _ = p.Inode().Socket().(*Socket)
	}
	if s == nil {
		return nil, "", unix.ECONNREFUSED
	}
	if s.common.Type != typ {
		return nil, "", unix.EPROTOTYPE
	}
	return s, name, nil
}
