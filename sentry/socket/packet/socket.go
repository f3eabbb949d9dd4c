// Package packet is the AF_PACKET family, packet(7): sockets that see and send the frames
// of interfaces, with rings in memory as libpcap uses them.
package packet

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/afpacket"
	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/sentry/socket/netdev"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

var ne = binary.NativeEndian

// A Socket is a packet socket.
type Socket struct {
	vfs.FileDefaults
	common socket.Common
	stack  *netstack.Stack
	ep     *afpacket.Endpoint
	queue  wait.Queue

	mu      sync.Mutex
	version int // TPACKET_V*
	reserve int // PACKET_RESERVE, bytes
	auxdata bool
	ring    *ring        // nil if there is none
	groups  map[int]bool // interfaces of PACKET_ADD_MEMBERSHIP
}

// New makes a socket of a namespace as socket(2) does; protocol is in network byte order, as there. EPERM
// without CAP_NET_RAW, ESOCKTNOSUPPORT.
func New(ctx *vfs.Context, ns *kernel.NetNamespace, stack *netstack.Stack, typ, protocol int) (*Socket, error) {
	if !ns.HasCap(ctx.Cred, unix.CAP_NET_RAW) {
		return nil, unix.EPERM
	}
	if typ != unix.SOCK_RAW && typ != unix.SOCK_DGRAM {
		return nil, unix.ESOCKTNOSUPPORT
	}
	s := &Socket{stack: stack, ep: afpacket.New(stack.Stack, typ, swap(uint16(protocol))), groups: map[int]bool{}}
	s.common.Family, s.common.Type, s.common.Protocol, s.common.Net = unix.AF_PACKET, typ, protocol, ns
	s.ep.SetNotify(func(events uint32) { s.queue.Notify(wait.Events(events)) })
	return s, nil
}

// swap is htons(3).
func swap(v uint16) uint16 {
	var b [2]byte
	ne.PutUint16(b[:], v)
	return binary.BigEndian.Uint16(b[:])
}

// addrLen is the size of struct sockaddr_ll in bytes.
const addrLen = 20

// parse reads a struct sockaddr_ll; the end of its hardware address may be missing. EINVAL.
func parse(p []byte) (a afpacket.Addr, err error) {
	if len(p) < addrLen || ne.Uint16(p) != unix.AF_PACKET {
		return a, unix.EINVAL
	}
	a = afpacket.Addr{Protocol: binary.BigEndian.Uint16(p[2:]), Index: int32(ne.Uint32(p[4:])), HAType: ne.Uint16(p[8:]), PktType: p[10], HALen: p[11]}
	copy(a.HWAddr[:], p[12:addrLen])
	return a, nil
}

// appendAddr appends a as a struct sockaddr_ll to p.
func appendAddr(p []byte, a afpacket.Addr) []byte {
	p = ne.AppendUint16(p, unix.AF_PACKET)
	p = binary.BigEndian.AppendUint16(p, a.Protocol)
	p = ne.AppendUint32(p, uint32(a.Index))
	p = ne.AppendUint16(p, a.HAType)
	p = append(p, a.PktType, a.HALen)
	return append(p, a.HWAddr[:]...)
}

// Common implements socket.Socket.
func (s *Socket) Common() *socket.Common { return &s.common }

// Timeouts implements vfs.Timeouter.
func (s *Socket) Timeouts() (read, write int64) { return s.common.Timeouts() }

// Bind implements socket.Socket.
func (s *Socket) Bind(_ *vfs.Context, addr []byte) error {
	a, err := parse(addr)
	if err != nil {
		return err
	}
	return s.ep.Bind(a)
}

// Connect implements socket.Socket.
func (s *Socket) Connect(*vfs.Context, []byte) error { return unix.EOPNOTSUPP }

// Listen implements socket.Socket.
func (s *Socket) Listen(*vfs.Context, int) error { return unix.EOPNOTSUPP }

// Accept implements socket.Socket.
func (s *Socket) Accept(*vfs.Context) (socket.Socket, []byte, error) {
	return nil, nil, unix.EOPNOTSUPP
}

// Shutdown implements socket.Socket.
func (s *Socket) Shutdown(int) error { return unix.EOPNOTSUPP }

// LocalAddr implements socket.Socket.
func (s *Socket) LocalAddr() ([]byte, error) {
	p := appendAddr(nil, s.ep.LocalAddr())
	return p[:12+int(p[11])], nil
}

// PeerAddr implements socket.Socket.
func (s *Socket) PeerAddr() ([]byte, error) { return nil, unix.EOPNOTSUPP }

// Send implements socket.Socket.
func (s *Socket) Send(_ *vfs.Context, src *usermem.Seq, m *socket.Message, _ int) (int, error) {
	var to *afpacket.Addr
	if m.Addr != nil {
		a, err := parse(m.Addr)
		if err != nil {
			return 0, err
		}
		to = &a
	}
	return s.ep.Send(transfer{src}, int(src.Len()), to)
}

// Receive implements socket.Socket.
func (s *Socket) Receive(_ *vfs.Context, dst *usermem.Seq, m *socket.Message, flags int) (int, error) {
	msg := sock.Msg{Flags: flags}
	n, from, tag, err := s.ep.Recv(transfer{dst}, int(dst.Len()), &msg)
	if err != nil {
		return 0, err
	}
	m.Flags |= msg.OutFlags
	m.Addr = appendAddr(m.Name[:0], from)
	if msg.Control.Has&sock.HasTimestamp != 0 {
		p := ne.AppendUint64(nil, uint64(msg.Control.Time/1e9))
		p = ne.AppendUint64(p, uint64(msg.Control.Time%1e9/1e3))
		m.Control.Other = append(m.Control.Other, socket.Item{Level: unix.SOL_SOCKET, Type: unix.SCM_TIMESTAMP, Data: p})
	}
	s.mu.Lock()
	aux := s.auxdata
	s.mu.Unlock()
	if aux {
		m.Control.Other = append(m.Control.Other, socket.Item{Level: unix.SOL_PACKET, Type: unix.PACKET_AUXDATA, Data: s.auxiliary(n, tag)})
	}
	return n, nil
}

// auxiliary is a struct tpacket_auxdata of a frame of which n bytes were received.
func (s *Socket) auxiliary(n int, tag pkt.Tag) []byte {
	p := ne.AppendUint32(nil, statusUser|statusOf(tag))
	p = ne.AppendUint32(p, uint32(n))
	p = ne.AppendUint32(p, uint32(n))
	header := uint16(0)
	if s.common.Type == unix.SOCK_RAW {
		header = linkHeader
	}
	p = ne.AppendUint16(p, 0)
	p = ne.AppendUint16(p, header)
	p = ne.AppendUint16(p, tag.TCI)
	return ne.AppendUint16(p, tag.Type)
}

// Read implements vfs.FileOps.
func (s *Socket) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	var m socket.Message
	return s.Receive(ctx, dst, &m, 0)
}

// Write implements vfs.FileOps.
func (s *Socket) Write(ctx *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	var m socket.Message
	return s.Send(ctx, src, &m, 0)
}

// Readiness implements vfs.FileOps.
func (s *Socket) Readiness(mask wait.Events) wait.Events {
	e := wait.Events(s.ep.Readiness())
	s.mu.Lock()
	if s.ring != nil && s.ring.readable() {
		e |= wait.In | wait.RdNorm
	}
	s.mu.Unlock()
	if s.common.Err.Load() != 0 {
		e |= wait.Err
	}
	return e & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (s *Socket) Register(e *wait.Entry, mask wait.Events) { s.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (s *Socket) Unregister(e *wait.Entry) { s.queue.Unregister(e) }

// Ioctl implements vfs.FileOps.
func (s *Socket) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	if cmd == unix.SIOCINQ {
		_, err := ctx.Mem.CopyOut(arg, socket.Int32(s.ep.Available()))
		return 0, err
	}
	return netdev.Ioctl(ctx, s.common.Net, s.stack, unix.AF_PACKET, cmd, arg)
}

// Mmap implements vfs.FileOps: the ring. EINVAL if there is none.
func (s *Socket) Mmap(ctx *vfs.Context, _ *vfs.File, prot, flags int) (vfs.Mappable, error) {
	s.mu.Lock()
	r := s.ring
	s.mu.Unlock()
	if r == nil {
		return nil, unix.EINVAL
	}
	return r.file.Ops().Mmap(ctx, r.file, prot, flags)
}

// Release implements vfs.FileOps.
func (s *Socket) Release(*vfs.File) {
	s.ep.Close()
	s.setRing(nil)
}

// A transfer moves a frame between the stack and the application.
type transfer struct{ seq *usermem.Seq }

// Read implements io.Reader.
func (t transfer) Read(p []byte) (int, error) { return t.seq.CopyIn(p) }

// Write implements io.Writer.
func (t transfer) Write(p []byte) (int, error) { return t.seq.CopyOut(p) }
