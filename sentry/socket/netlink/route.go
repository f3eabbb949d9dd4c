package netlink

import (
	"encoding/binary"
	"errors"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
	"casemate/vfs"
)

var ne = binary.NativeEndian

// Kinds of a request: the low two bits of an rtnetlink type.
const (
	kindNew = iota
	kindDelete
	kindGet
	kindSet
)

// serve carries out a request and answers it.
func (s *Socket) serve(ctx *vfs.Context, r *nlmsg.Request) {
	if r.Flags&unix.NLM_F_REQUEST == 0 {
		return
	}
	var err error
	answered := false
	if r.Type >= unix.NLMSG_MIN_TYPE { // below are the types of netlink itself
		switch s.common.Protocol {
		case unix.NETLINK_ROUTE:
			answered, err = s.route(ctx, r)
		case unix.NETLINK_NETFILTER:
			answered, err = s.netfilter(ctx, r)
		case unix.NETLINK_GENERIC:
			answered, err = s.generic(r)
		default:
			answered, err = s.diag(ctx, r)
		}
	}
	if err != nil || r.Flags&unix.NLM_F_ACK != 0 && !answered {
		s.acknowledge(r, err)
	}
}

// acknowledge answers with NLMSG_ERROR: an errno, or 0, and the request.
func (s *Socket) acknowledge(r *nlmsg.Request, err error) {
	code := int32(0)
	quoted := r.Whole[:unix.SizeofNlMsghdr]
	flags := uint16(unix.NLM_F_CAPPED)
	var errno unix.Errno
	if errors.As(err, &errno) {
		code = -int32(errno)
		if !s.option(unix.NETLINK_CAP_ACK) {
			quoted, flags = r.Whole, 0
		}
	}
	var a nlmsg.Builder
	var about *nlmsg.AttrError
	offset, placed, message := 0, false, ""
	if errors.As(err, &about) && s.option(unix.NETLINK_EXT_ACK) {
		offset, placed = about.Offset(r)
		if message = about.Message; placed || message != "" {
			flags |= unix.NLM_F_ACK_TLVS
		}
	}
	a.Begin(unix.NLMSG_ERROR, flags, r.Seq, s.localPort())
	a.B = ne.AppendUint32(a.B, uint32(code))
	a.B = append(a.B, quoted...)
	if flags&unix.NLM_F_ACK_TLVS != 0 {
		for len(a.B)&3 != 0 {
			a.B = append(a.B, 0)
		}
	}
	if message != "" {
		a.AttrString(unix.NLMSGERR_ATTR_MSG, message)
	}
	if placed {
		a.Attr32(unix.NLMSGERR_ATTR_OFFS, uint32(offset))
	}
	a.End()
	s.deliver(datagram{data: a.B})
}

func (s *Socket) localPort() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.port
}

// route carries out a request of NETLINK_ROUTE. answered says that a dump has answered
// it. EOPNOTSUPP for what does not exist, EPERM without CAP_NET_ADMIN for what changes
// anything.
func (s *Socket) route(ctx *vfs.Context, r *nlmsg.Request) (answered bool, err error) {
	kind := (r.Type - unix.RTM_BASE) & 3
	if kind != kindGet && !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) {
		return false, unix.EPERM
	}
	if len(r.Body) < 1 {
		return false, nil
	}
	if kind == kindGet && r.Flags&unix.NLM_F_DUMP != 0 {
		return true, s.dump(ctx, r)
	}
	if (r.Type == unix.RTM_SETLINK || r.Type == unix.RTM_DELLINK) && r.Body[0] == unix.AF_BRIDGE {
		return false, s.setPort(r)
	}
	switch r.Type {
	case unix.RTM_GETLINK:
		return false, s.getLink(ctx, r)
	case unix.RTM_NEWLINK, unix.RTM_SETLINK:
		return false, s.setLink(ctx, r)
	case unix.RTM_DELLINK:
		return false, s.deleteLink(ctx, r)
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return false, s.changeAddress(r)
	case unix.RTM_GETROUTE:
		return false, s.getRoute(r)
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return false, s.changeRoute(r)
	case unix.RTM_GETNEIGH:
		return false, s.getNeighbour(r)
	case unix.RTM_NEWNEIGH, unix.RTM_DELNEIGH:
		return false, s.changeNeighbour(r)
	case unix.RTM_NEWRULE, unix.RTM_DELRULE:
		return false, s.changeRule(r)
	case unix.RTM_NEWNEXTHOP, unix.RTM_DELNEXTHOP, unix.RTM_GETNEXTHOP:
		return false, s.nexthop(r)
	case unix.RTM_NEWQDISC, unix.RTM_DELQDISC:
		return false, s.changeQdisc(r)
	case unix.RTM_NEWNSID, unix.RTM_GETNSID:
		return false, s.nsid(ctx, r)
	}
	return false, unix.EOPNOTSUPP
}

// dumpSize is how much of a dump goes into one datagram, but for a longer message.
const dumpSize = 3500

// A dumper collects the messages of a dump.
type dumper struct {
	s    *Socket
	r    *nlmsg.Request
	port uint32
	nlmsg.Builder
}

// next begins a message of the dump.
func (d *dumper) next(typ uint16, header ...byte) {
	if len(d.B) > dumpSize {
		d.flush()
	}
	d.Begin(typ, unix.NLM_F_MULTI, d.r.Seq, d.port, header...)
}

// add adds a whole message to the dump.
func (d *dumper) add(message []byte) {
	if len(d.B) > 0 && len(d.B)+len(message) > dumpSize {
		d.flush()
	}
	d.B = append(d.B, message...)
}

func (d *dumper) flush() {
	if len(d.B) > 0 {
		d.s.deliver(datagram{data: d.B, dump: true})
		d.Builder = nlmsg.Builder{}
	}
}

// dump answers with all there is of a kind. EBUSY if the last dump has not been read.
func (s *Socket) dump(ctx *vfs.Context, r *nlmsg.Request) error {
	s.mu.Lock()
	busy := s.dumping > 0
	s.mu.Unlock()
	if busy {
		return unix.EBUSY
	}
	return s.dumpWith(r, func(d *dumper) (err error) {
		switch r.Type {
		case unix.RTM_GETLINK:
			err = s.dumpLinks(ctx, d)
		case unix.RTM_GETADDR:
			err = s.dumpAddresses(ctx, d)
		case unix.RTM_GETROUTE:
			err = s.dumpRoutes(d)
		case unix.RTM_GETNEIGH:
			err = s.dumpNeighbours(d)
		case unix.RTM_GETRULE:
			err = s.dumpRules(d)
		case unix.RTM_GETNSID:
			err = s.dumpNSIDs(d)
		case unix.RTM_GETNEXTHOP:
			err = s.dumpNexthops(d)
		case unix.RTM_GETQDISC:
			err = s.dumpQdiscs(d)
		case unix.RTM_GETTCLASS, unix.RTM_GETTFILTER:
			// They belong to queueing disciplines that there are not.
		default:
			err = unix.EOPNOTSUPP
		}
		return err
	})
}

// dumpWith answers with what fill puts into the dumper. Errors are fill's.
func (s *Socket) dumpWith(r *nlmsg.Request, fill func(d *dumper) error) error {
	d := &dumper{s: s, r: r, port: s.localPort()}
	if err := fill(d); err != nil {
		return err
	}
	d.flush()
	d.Begin(unix.NLMSG_DONE, unix.NLM_F_MULTI, r.Seq, d.port, 0, 0, 0, 0)
	d.End()
	d.flush()
	return nil
}
