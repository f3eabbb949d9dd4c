package inet

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/conntrack"
	"casemate/netstack/iptables"
	"casemate/netstack/sock"
	"casemate/vfs"
)

// Options of SOL_IP and SOL_IPV6 about tables and connections that package iptables does not
// name.
const (
	getRevisionMatch4  = 66 // IPT_SO_GET_REVISION_MATCH
	getRevisionTarget4 = 67
	getRevisionMatch6  = 68 // IP6T_SO_GET_REVISION_MATCH
	getRevisionTarget6 = 69
	originalDst        = 80 // SO_ORIGINAL_DST, IP6T_SO_ORIGINAL_DST
)

// MaxTable is the longest value of an option that replaces a table.
const MaxTable = iptables.MaxTable

// IsTable reports whether an option sets something about tables: its value may be long.
func IsTable(level, name int) bool {
	return (level == unix.SOL_IP || level == unix.SOL_IPV6) && (name == iptables.SetReplace || name == iptables.SetAddCounters)
}

// tables are those of a level.
func (s *Socket) tables(level int) *iptables.Tables {
	if level == unix.SOL_IPV6 {
		return s.stack.IP6Tables
	}
	return s.stack.IPTables
}

// setTables is IPT_SO_SET_*. EPERM without CAP_NET_ADMIN.
func (s *Socket) setTables(ctx *vfs.Context, level, name int, value []byte) error {
	if !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	if level == unix.SOL_IPV6 && s.common.Family != unix.AF_INET6 {
		return unix.ENOPROTOOPT
	}
	if name == iptables.SetAddCounters {
		return s.tables(level).AddCounters(value)
	}
	counters, at, err := s.tables(level).Replace(value)
	if err != nil {
		return err
	}
	// The table has been replaced: Linux does not mind either if this fails.
	ctx.Mem.CopyOut(at, counters)
	return nil
}

// Ask implements socket.Asker: IPT_SO_GET_* and SO_ORIGINAL_DST.
func (s *Socket) Ask(ctx *vfs.Context, level, name int, value []byte, length int) (answer []byte, asked bool, err error) {
	if level != unix.SOL_IP && (level != unix.SOL_IPV6 || s.common.Family != unix.AF_INET6) {
		return nil, false, nil
	}
	match, target := getRevisionMatch4, getRevisionTarget4
	if level == unix.SOL_IPV6 {
		match, target = getRevisionMatch6, getRevisionTarget6
	}
	switch name {
	case originalDst:
		answer, err = s.originalDst(level, length)
		return answer, true, err
	case iptables.GetInfo, iptables.GetEntries, match, target:
	default:
		return nil, false, nil
	}
	if !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) {
		return nil, true, unix.EPERM
	}
	t := s.tables(level)
	switch name {
	case iptables.GetInfo:
		answer, err = t.Info(value)
	case iptables.GetEntries:
		answer, err = t.Entries(value, length)
	default:
		answer, err = t.Revision(value, name == target)
	}
	return answer, true, err
}

// originalDst is SO_ORIGINAL_DST: where the peer of a connection meant it to go, before it
// was given another destination. ENOENT.
func (s *Socket) originalDst(level, length int) ([]byte, error) {
	peer, err := s.ep.RemoteAddr()
	if err != nil {
		return nil, unix.ENOTCONN
	}
	own := s.ep.LocalAddr()
	family, size := unix.AF_INET, unix.SizeofSockaddrInet4
	if level == unix.SOL_IPV6 {
		family, size = unix.AF_INET6, unix.SizeofSockaddrInet6
	}
	if length < size {
		return nil, unix.EINVAL
	}
	clean := func(a netip.Addr) netip.Addr { return a.Unmap() }
	k := conntrack.Tuple{Src: clean(own.Addr), Dst: clean(peer.Addr), SPort: own.Port, DPort: peer.Port, Proto: uint8(s.ep.Protocol())}
	c := s.stack.Filter.Conns.Find(k)
	if c == nil {
		return nil, unix.ENOENT
	}
	return appendSockaddr(nil, family, sock.Addr{Addr: sock.View(family, c.Orig.Dst), Port: c.Orig.DPort}), nil
}
