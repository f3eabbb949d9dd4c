package unixsocket

import (
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
)

// Names are the abstract names of a network namespace.
type Names struct {
	mu   sync.Mutex
	m    map[string]*Socket
	auto uint32 // the last automatic name
}

// NewNames returns an empty set.
func NewNames() *Names { return &Names{m: map[string]*Socket{}} }

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
func sockaddr(name string) []byte {
	p := binary.NativeEndian.AppendUint16(nil, unix.AF_UNIX)
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
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.name != "" {
		return unix.EINVAL
	}
	switch {
	case name == "":
		s.name = s.names.automatic(s)
		return nil
	case name[0] == 0:
		if err := s.names.add(name, s); err != nil {
			return err
		}
	default:
		in, err := ctx.MknodSocket(vfs.Start{}, name, 0o777)
		if err == unix.EEXIST {
			err = unix.EADDRINUSE
		}
		if err != nil {
			return err
		}
		in.BindSocket(s)
		s.inode = in
	}
	s.name = name
	return nil
}

func (n *Names) add(name string, s *Socket) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.m[name] != nil {
		return unix.EADDRINUSE
	}
	n.m[name] = s
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
		if n.m[name] == nil {
			n.m[name] = s
			return name
		}
	}
}

// forget unbinds a closed socket.
func (n *Names) forget(s *Socket, name string, inode *vfs.Inode) {
	if name != "" && name[0] == 0 {
		n.mu.Lock()
		if n.m[name] == s {
			delete(n.m, name)
		}
		n.mu.Unlock()
	}
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
		s = n.m[name]
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

// GetOption implements socket.Socket.
func (s *Socket) GetOption(ctx *vfs.Context, level, name, _ int) ([]byte, error) {
	if level != unix.SOL_SOCKET {
		return nil, unix.EOPNOTSUPP
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch name {
	case unix.SO_ACCEPTCONN:
		return socket.Bool(s.state == listening), nil
	case unix.SO_PEERCRED:
		return s.peerCred.Ucred(ctx), nil
	case unix.SO_SNDBUF, unix.SO_RCVBUF:
		return socket.Int32(s.sndbuf), nil
	case unix.SO_LINGER:
		return make([]byte, 8), nil
	case unix.SO_REUSEADDR, unix.SO_REUSEPORT, unix.SO_KEEPALIVE, unix.SO_BROADCAST, unix.SO_OOBINLINE, unix.SO_DEBUG, unix.SO_DONTROUTE:
		return socket.Int32(0), nil
	}
	return nil, unix.ENOPROTOOPT
}

// SetOption implements socket.Socket.
func (s *Socket) SetOption(ctx *vfs.Context, level, name int, value []byte) error {
	if level != unix.SOL_SOCKET {
		return unix.EOPNOTSUPP
	}
	switch name {
	case unix.SO_SNDBUF, unix.SO_SNDBUFFORCE:
		v, err := socket.ToInt(value)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.sndbuf = max(2*min(max(v, 0), defaultBuffer), minBuffer)
		s.mu.Unlock()
		return nil
	case unix.SO_RCVBUF, unix.SO_RCVBUFFORCE, unix.SO_LINGER, unix.SO_REUSEADDR, unix.SO_KEEPALIVE, unix.SO_BROADCAST,
		unix.SO_OOBINLINE, unix.SO_DONTROUTE, unix.SO_TIMESTAMP:
		return nil // without effect on AF_UNIX
	}
	return unix.ENOPROTOOPT
}

// minBuffer is SOCK_MIN_SNDBUF.
const minBuffer = 4608
