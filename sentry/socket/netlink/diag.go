package netlink

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
	"casemate/netstack/sock"
	"casemate/sentry/socket/inet"
	"casemate/sentry/socket/unixsocket"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// Messages and structures of sock_diag(7).
const (
	sockDiagByFamily = 20 // SOCK_DIAG_BY_FAMILY
	sockDestroy      = 21 // SOCK_DESTROY
	inetRequestLen   = 56 // sizeof(struct inet_diag_req_v2)
	unixRequestLen   = 24 // sizeof(struct unix_diag_req)

	diagMemInfo   = 1 // INET_DIAG_MEMINFO
	diagInfo      = 2 // INET_DIAG_INFO
	diagVegas     = 3 // asks for what the algorithm says of itself
	diagCong      = 4
	diagTOS       = 5
	diagTClass    = 6
	diagSkMemInfo = 7
	diagShutdown  = 8
	diagV6Only    = 11
	diagMark      = 15
	diagBBR       = 16 // INET_DIAG_BBRINFO

	unixName  = 0 // UNIX_DIAG_NAME
	unixVFS   = 1
	unixPeer  = 2
	unixIcons = 3
	unixRQLen = 4
	unixMem   = 5
	unixUID   = 7

	showName  = 1 << 0 // UDIAG_SHOW_NAME
	showVFS   = 1 << 1
	showPeer  = 1 << 2
	showIcons = 1 << 3
	showRQLen = 1 << 4
	showMem   = 1 << 5
	showUID   = 1 << 6
)

// diag serves a request of NETLINK_SOCK_DIAG. EINVAL, ENOENT for a family or socket that is
// not there, EPERM without CAP_NET_ADMIN for a socket's end, EOPNOTSUPP for one that cannot be ended so.
func (s *Socket) diag(ctx *vfs.Context, r *nlmsg.Request) (answered bool, err error) {
	if r.Type != sockDiagByFamily && r.Type != sockDestroy || len(r.Body) < 1 {
		return false, unix.EINVAL
	}
	end := r.Type == sockDestroy
	all := r.Flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP && !end
	switch r.Body[0] {
	case unix.AF_INET, unix.AF_INET6:
		if len(r.Body) < inetRequestLen {
			return false, unix.EINVAL
		}
		if all {
			f, err := requestFilter(r, s.common.HasCap(ctx, unix.CAP_NET_ADMIN))
			if err != nil {
				return false, err
			}
			return true, s.dumpWith(r, func(d *dumper) error { return s.dumpInet(ctx, d, f) })
		}
		i, err := s.oneInet(r)
		if err != nil {
			return false, err
		}
		if end {
			return false, s.destroy(ctx, i)
		}
		s.answerInet(ctx, r, i)
		return false, nil
	case unix.AF_UNIX:
		if end {
			return false, unix.EOPNOTSUPP
		}
		if len(r.Body) < unixRequestLen {
			return false, unix.EINVAL
		}
		if all {
			return true, s.dumpWith(r, func(d *dumper) error { return s.dumpUnix(ctx, d) })
		}
		return false, s.oneUnix(ctx, r)
	}
	return false, unix.ENOENT
}

// putID appends a struct inet_diag_sockid.
func putID(p []byte, i *inet.Diagnosis) []byte {
	p = binary.BigEndian.AppendUint16(p, i.Local.Port)
	p = binary.BigEndian.AppendUint16(p, i.Remote.Port)
	for _, a := range [...]netip.Addr{i.Local.Addr, i.Remote.Addr} {
		var b [16]byte
		if a.Is4() {
			v := a.As4()
			copy(b[:], v[:])
		} else if a.IsValid() {
			b = a.As16()
		}
		p = append(p, b[:]...)
	}
	p = ne.AppendUint32(p, uint32(i.Dev))
	p = ne.AppendUint32(p, uint32(i.Cookie))
	return ne.AppendUint32(p, uint32(i.Cookie>>32))
}

// putInet appends a struct inet_diag_msg, or its attributes that ext asks for.
func inetHeader(ctx *vfs.Context, i *inet.Diagnosis) []byte {
	p := []byte{uint8(i.Family), i.State, i.Timer, uint8(i.Retransmits)}
	p = putID(p, i)
	p = ne.AppendUint32(p, uint32(max(i.Expires, 0)/time.Millisecond))
	p = ne.AppendUint32(p, uint32(i.RecvQueue))
	p = ne.AppendUint32(p, uint32(i.SendQueue))
	p = ne.AppendUint32(p, ctx.Cred.UserNS.ShowUID(cred.UID(i.Owner)))
	return ne.AppendUint32(p, uint32(i.Inode))
}

func (s *Socket) putInet(m *nlmsg.Builder, ctx *vfs.Context, i *inet.Diagnosis, ext uint8) {
	asked := func(attr int) bool { return ext&(1<<(attr-1)) != 0 }
	if i.Endpoint == nil {
		return
	}
	o := i.Endpoint.Options()
	m.Attr8(diagShutdown, 0)
	if asked(diagTOS) {
		m.Attr8(diagTOS, uint8(o.TOS.Load()))
	}
	if i.Family == unix.AF_INET6 {
		if asked(diagTClass) {
			m.Attr8(diagTClass, uint8(o.TClass.Load()))
		}
		if i.State == 7 || i.State == 10 { // a socket that is not connected
			v := uint8(0)
			if o.V6Only.Load() {
				v = 1
			}
			m.Attr8(diagV6Only, v)
		}
	}
	if mark := o.Mark.Load(); s.common.HasCap(ctx, unix.CAP_NET_ADMIN) && mark != 0 {
		m.Attr32(diagMark, mark)
	}
	if asked(diagMemInfo) {
		var b []byte
		for _, v := range [...]int{i.RecvQueue, i.SendQueue, 0, 0} {
			b = ne.AppendUint32(b, uint32(v))
		}
		m.Attr(diagMemInfo, b)
	}
	if asked(diagSkMemInfo) {
		m.Attr(diagSkMemInfo, skMemInfo(i.RecvQueue, o.RcvBuf(), i.SendQueue, o.SndBuf(), int(i.Drops)))
	}
	if asked(diagInfo) && i.TCP != nil {
		m.Attr(diagInfo, i.TCP)
	}
	if asked(diagVegas) && i.BBR != nil {
		m.Attr(diagBBR, i.BBR)
	}
	if asked(diagCong) && i.Congestion != "" {
		m.AttrString(diagCong, i.Congestion)
	}
}

// skMemInfo are the SK_MEMINFO_* of a socket.
func skMemInfo(rmem, rcvbuf, wmem, sndbuf, drops int) []byte {
	var b []byte
	for _, v := range [...]int{rmem, rcvbuf, wmem, sndbuf, 0, wmem, 0, 0, drops} {
		b = ne.AppendUint32(b, uint32(v))
	}
	return b
}

// wantsInfo reports whether a request asks for more than addresses.
func wantsInfo(ext uint8) bool { return ext&(1<<(diagInfo-1)|1<<(diagVegas-1)|1<<(diagCong-1)) != 0 }

func (s *Socket) dumpInet(ctx *vfs.Context, d *dumper, f filter) error {
	family, protocol, ext, states := d.r.Body[0], d.r.Body[1], d.r.Body[2], ne.Uint32(d.r.Body[4:])
	id := d.r.Body[8:inetRequestLen]
	sport, dport := binary.BigEndian.Uint16(id), binary.BigEndian.Uint16(id[2:])
	for _, i := range s.ports.inet.Diagnose(int(family), int(protocol), wantsInfo(ext)) {
		if states&(1<<i.State) == 0 || sport != 0 && sport != i.Local.Port || dport != 0 && dport != i.Remote.Port || !f.chooses(&i) {
			continue
		}
		d.next(sockDiagByFamily, inetHeader(ctx, &i)...)
		s.putInet(&d.Builder, ctx, &i, ext)
		d.End()
	}
	return nil
}

// oneInet finds the socket of an address and port, or of a cookie. ENOENT.
func (s *Socket) oneInet(r *nlmsg.Request) (*inet.Diagnosis, error) {
	family, protocol, ext := r.Body[0], r.Body[1], r.Body[2]
	id := r.Body[8:inetRequestLen]
	const noCookie = 1<<64 - 1
	cookie := ne.Uint64(id[40:])
	for _, i := range s.ports.inet.Diagnose(int(family), int(protocol), wantsInfo(ext)) {
		own := putID(nil, &i)
		if cookie != noCookie && cookie != i.Cookie || [4]byte(own) != [4]byte(id) || !sameAddr(own[4:20], id[4:20], i.Local) || !sameAddr(own[20:36], id[20:36], i.Remote) {
			continue
		}
		return &i, nil
	}
	return nil, unix.ENOENT
}

func (s *Socket) answerInet(ctx *vfs.Context, r *nlmsg.Request, i *inet.Diagnosis) {
	var m nlmsg.Builder
	m.Begin(sockDiagByFamily, 0, r.Seq, s.localPort(), inetHeader(ctx, i)...)
	s.putInet(&m, ctx, i, r.Body[2])
	m.End()
	s.deliver(datagram{data: m.B})
}

// destroy ends a socket. EPERM, EOPNOTSUPP, ENOENT if it is closed by now.
func (s *Socket) destroy(ctx *vfs.Context, i *inet.Diagnosis) error {
	if !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	if i.Endpoint == nil {
		return s.ports.stack.TCP.Forget(i.Local, i.Remote)
	}
	if e, ok := i.Endpoint.(interface{ Abort() error }); ok {
		return e.Abort()
	}
	return unix.EOPNOTSUPP
}

// sameAddr compares addresses of sockids; the wildcard is any.
func sameAddr(own, want []byte, a sock.Addr) bool {
	if !a.Addr.IsValid() || a.Addr.IsUnspecified() {
		return true
	}
	return string(own) == string(want)
}

func unixHeader(i *unixsocket.Diagnosis) []byte {
	p := []byte{unix.AF_UNIX, uint8(i.Type), i.State, 0}
	p = ne.AppendUint32(p, uint32(i.Inode))
	return ne.AppendUint64(p, i.Cookie)
}

func putUnix(m *nlmsg.Builder, ctx *vfs.Context, i *unixsocket.Diagnosis, show uint32) {
	pair := func(attr uint16, a, b uint32) { m.Attr(attr, ne.AppendUint32(ne.AppendUint32(nil, a), b)) }
	if show&showName != 0 && i.Name != "" {
		m.Attr(unixName, []byte(i.Name))
	}
	if show&showVFS != 0 && i.VFSInode != 0 {
		pair(unixVFS, uint32(i.VFSInode), 0)
	}
	if show&showPeer != 0 && i.Peer != 0 {
		m.Attr32(unixPeer, uint32(i.Peer))
	}
	if show&showIcons != 0 && i.State == 10 {
		var b []byte
		for _, ino := range i.Pending {
			b = ne.AppendUint32(b, uint32(ino))
		}
		m.Attr(unixIcons, b)
	}
	if show&showRQLen != 0 {
		second := uint32(0)
		if i.State == 10 {
			second = uint32(i.Backlog)
		}
		pair(unixRQLen, uint32(i.Received), second)
	}
	if show&showMem != 0 {
		m.Attr(unixMem, skMemInfo(0, i.Buffer, 0, i.Buffer, 0))
	}
	if show&showUID != 0 {
		m.Attr32(unixUID, ctx.Cred.UserNS.ShowUID(cred.UID(i.Owner)))
	}
}

func (s *Socket) dumpUnix(ctx *vfs.Context, d *dumper) error {
	states, show := ne.Uint32(d.r.Body[4:]), ne.Uint32(d.r.Body[12:])
	for _, i := range s.ports.names.Diagnose() {
		if states&(1<<i.State) == 0 {
			continue
		}
		d.next(sockDiagByFamily, unixHeader(&i)...)
		putUnix(&d.Builder, ctx, &i, show)
		d.End()
	}
	return nil
}

// oneUnix answers with the socket of an inode. ENOENT.
func (s *Socket) oneUnix(ctx *vfs.Context, r *nlmsg.Request) error {
	ino, show := ne.Uint32(r.Body[8:]), ne.Uint32(r.Body[12:])
	for _, i := range s.ports.names.Diagnose() {
		if ino == 0 || uint32(i.Inode) != ino {
			continue
		}
		var m nlmsg.Builder
		m.Begin(sockDiagByFamily, 0, r.Seq, s.localPort(), unixHeader(&i)...)
		putUnix(&m, ctx, &i, show)
		m.End()
		s.deliver(datagram{data: m.B})
		return nil
	}
	return unix.ENOENT
}
