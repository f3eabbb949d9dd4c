package netlink

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
	"casemate/netstack/sock"
	"casemate/sentry/socket/inet"
)

// Attributes of a question about sockets, and the operations of its filter (linux/inet_diag.h).
const (
	requestBytecode = 1 // INET_DIAG_REQ_BYTECODE

	filterNop    = 0 // INET_DIAG_BC_NOP
	filterJump   = 1
	filterSportG = 2 // the source port is not smaller
	filterSportL = 3 // nor larger
	filterDportG = 4
	filterDportL = 5
	filterAuto   = 6 // the kernel has chosen the port
	filterSource = 7 // address and port, struct inet_diag_hostcond
	filterDest   = 8
	filterDevice = 9
	filterMark   = 10 // struct inet_diag_markcond
	filterSport  = 11
	filterDport  = 12

	filterOpLen       = 4 // sizeof(struct inet_diag_bc_op)
	filterHostLen     = 8 // sizeof(struct inet_diag_hostcond), without the address
	filterAnyPort     = -1
	filterReject      = 4 // so far behind the end a filter leads that does not match
	filterMarkCondLen = 8
)

// A filter chooses sockets. It is a program of conditions, each of which says how many bytes further
// it goes on if it is met and how many if not; a socket is chosen that leads just to the end. The
// zero filter chooses all.
type filter []byte

// yes and no are where it goes on from the condition at off.
func (f filter) yes(off int) int { return off + int(f[off+1]) }
func (f filter) no(off int) int  { return off + int(ne.Uint16(f[off+2:])) }

// requestFilter is the filter of a question about sockets of AF_INET and AF_INET6. EINVAL, EPERM.
func requestFilter(r *nlmsg.Request, marks bool) (filter, error) {
	attrs, err := nlmsg.Attributes(r.Body[inetRequestLen:])
	if err != nil {
		return nil, err
	}
	f := filter(attrs[requestBytecode])
	return f, f.check(marks)
}

// check reports whether a filter leads to an end however its conditions are met: EINVAL, and EPERM
// for one that looks at marks if those are not to be seen.
func (f filter) check(marks bool) error {
	starts := map[int]bool{len(f): true, len(f) + filterReject: true}
	off := 0
	for off < len(f) {
		n, err := f.length(off, marks)
		if err != nil {
			return err
		}
		if int(f[off+1]) < n || f.yes(off)&3 != 0 || f.yes(off) > len(f) {
			return unix.EINVAL
		}
		starts[off] = true
		off = f.yes(off)
	}
	for off := 0; off < len(f); off = f.yes(off) {
		n, _ := f.length(off, marks)
		if f[off] != filterNop && (f.no(off) < off+n || !starts[f.no(off)]) {
			return unix.EINVAL
		}
	}
	return nil
}

// length is how many bytes the condition at off has at least.
func (f filter) length(off int, marks bool) (n int, err error) {
	if len(f)-off < filterOpLen {
		return 0, unix.EINVAL
	}
	n = filterOpLen
	switch f[off] {
	case filterNop, filterJump, filterAuto:
	case filterSportG, filterSportL, filterDportG, filterDportL, filterSport, filterDport, filterDevice:
		n += 4
	case filterMark:
		if !marks {
			return 0, unix.EPERM
		}
		n += filterMarkCondLen
	case filterSource, filterDest:
		n += filterHostLen
		if len(f)-off < n {
			return 0, unix.EINVAL
		}
		size := 0
		switch f[off+filterOpLen] {
		case unix.AF_INET:
			size = 4
		case unix.AF_INET6:
			size = 16
		case unix.AF_UNSPEC:
		default:
			return 0, unix.EINVAL
		}
		if int(f[off+filterOpLen+1]) > 8*size {
			return 0, unix.EINVAL
		}
		n += size
	default:
		return 0, unix.EINVAL
	}
	if len(f)-off < n {
		return 0, unix.EINVAL
	}
	return n, nil
}

// chooses runs a filter that check has passed.
func (f filter) chooses(i *inet.Diagnosis) bool {
	off := 0
	for off < len(f) {
		if f.met(off, i) {
			off = f.yes(off)
		} else {
			off = f.no(off)
		}
	}
	return off == len(f)
}

// met reports whether the condition at off is.
func (f filter) met(off int, i *inet.Diagnosis) bool {
	arg := f[off+filterOpLen:]
	port := func() uint16 { return ne.Uint16(arg[2:]) } // where a second operation would have its way
	switch f[off] {
	case filterNop, filterAuto:
		return true // who chose a port is not known: ss(8) looks at its range itself
	case filterSportG:
		return i.Local.Port >= port()
	case filterSportL:
		return i.Local.Port <= port()
	case filterSport:
		return i.Local.Port == port()
	case filterDportG:
		return i.Remote.Port >= port()
	case filterDportL:
		return i.Remote.Port <= port()
	case filterDport:
		return i.Remote.Port == port()
	case filterSource:
		return host(arg, i.Family, i.Local)
	case filterDest:
		return host(arg, i.Family, i.Remote)
	case filterDevice:
		return uint32(i.Dev) == ne.Uint32(arg)
	case filterMark:
		return i.Endpoint != nil && i.Endpoint.Options().Mark.Load()&ne.Uint32(arg[4:]) == ne.Uint32(arg)
	}
	return false // filterJump
}

// host compares the address and port of a socket of a family with a struct inet_diag_hostcond.
func host(cond []byte, family int, a sock.Addr) bool {
	want, bits, port := cond[0], int(cond[1]), int32(ne.Uint32(cond[4:]))
	if port != filterAnyPort && port != int32(a.Port) {
		return false
	}
	addr := sock.View(family, a.Addr)
	switch want {
	case unix.AF_INET:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(cond[filterHostLen:])), bits).Contains(addr.Unmap())
	case unix.AF_INET6:
		return netip.PrefixFrom(netip.AddrFrom16([16]byte(cond[filterHostLen:])), bits).Contains(addr)
	}
	return true
}
