package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/nlmsg"
)

// Layout of struct tcmsg and attributes of queueing disciplines (rtnetlink(7), tc(8)) that x/sys does not name.
const (
	tcmsgLen       = 20
	tcRoot         = 0xffffffff // TC_H_ROOT
	tcaKind        = 1
	tcaStats       = 3
	tcaStats2      = 7
	tcaOffload     = 12 // TCA_HW_OFFLOAD
	statsBasic     = 1  // TCA_STATS_BASIC: struct gnet_stats_basic
	statsQueue     = 3  // TCA_STATS_QUEUE: struct gnet_stats_queue
	basicLen       = 16
	queueLen       = 20
	oldStatsLen    = 36 // struct tc_stats, padded
	noQueueHolders = 2  // references to it that Linux counts
)

// dumpQdiscs are the queueing disciplines of all interfaces that have been up: there is none but noqueue.
func (s *Socket) dumpQdiscs(d *dumper) error {
	if len(d.r.Body) < tcmsgLen {
		return unix.EINVAL
	}
	only := int32(ne.Uint32(d.r.Body[4:]))
	for _, i := range s.ports.stack.Interfaces() {
		if !i.Activated() || only != 0 && only != i.Index() {
			continue
		}
		d.next(unix.RTM_NEWQDISC, tcmsg(i)...)
		d.AttrString(tcaKind, "noqueue")
		d.Attr8(tcaOffload, 0)
		d.Nest(tcaStats2, func() {
			d.Attr(statsBasic, make([]byte, basicLen))
			d.Attr(statsQueue, make([]byte, queueLen))
		})
		d.Attr(tcaStats, make([]byte, oldStatsLen))
		d.End()
	}
	return nil
}

func tcmsg(i *ip.Interface) []byte {
	p := ne.AppendUint32(nil, unix.AF_UNSPEC)
	for _, v := range [...]uint32{uint32(i.Index()), 0, tcRoot, noQueueHolders} {
		p = ne.AppendUint32(p, v)
	}
	return p
}

// changeQdisc refuses as Linux does if a kind is not there; none is. EINVAL, ENODEV, ENOENT.
func (s *Socket) changeQdisc(r *nlmsg.Request) error {
	if len(r.Body) < tcmsgLen {
		return unix.EINVAL
	}
	if s.ports.stack.Interface(int32(ne.Uint32(r.Body[4:]))) == nil {
		return unix.ENODEV
	}
	attrs, err := nlmsg.Attributes(r.Body[tcmsgLen:])
	if err != nil {
		return err
	}
	switch _, named := attrs[tcaKind]; {
	case r.Type == unix.RTM_DELQDISC:
		return nlmsg.Refuse(unix.ENOENT, nil, "Cannot delete qdisc with handle of zero")
	case r.Flags&unix.NLM_F_CREATE == 0:
		return nlmsg.Refuse(unix.ENOENT, nil, "Qdisc not found. To create specify NLM_F_CREATE flag")
	case !named:
		return unix.EINVAL
	}
	return nlmsg.Refuse(unix.ENOENT, nil, "Specified qdisc kind is unknown")
}
