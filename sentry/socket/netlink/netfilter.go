package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/nft"
	"casemate/netstack/nlmsg"
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// Constants of nfnetlink that x/sys does not name.
const (
	groupNFTables = 7    // NFNLGRP_NFTABLES
	ctNew         = 0    // IPCTNL_MSG_CT_NEW
	ctGet         = 1    // IPCTNL_MSG_CT_GET
	ctDelete      = 2    // IPCTNL_MSG_CT_DELETE
	subsysShift   = 8    // NFNL_SUBSYS_ID
	nfgenmsgLen   = 4    // sizeof(struct nfgenmsg)
	batchGenID    = 1    // NFNL_BATCH_GENID
	msgMask       = 0xff // NFNL_MSG_TYPE
)

// isBatch reports whether what a program has sent is a batch of changes.
func isBatch(p []byte) bool {
	r, _, ok := nlmsg.Next(p)
	return ok && r.Type == unix.NFNL_MSG_BATCH_BEGIN
}

// netfilter carries out a request of NETLINK_NETFILTER that is not in a batch. EPERM without
// CAP_NET_ADMIN, EINVAL for what there is not.
func (s *Socket) netfilter(ctx *vfs.Context, r *nlmsg.Request) (answered bool, err error) {
	if !s.common.HasCap(ctx, unix.CAP_NET_ADMIN) {
		return false, unix.EPERM
	}
	if len(r.Body) < nfgenmsgLen {
		return false, nil
	}
	switch r.Type >> subsysShift {
	case unix.NFNL_SUBSYS_NFTABLES:
		return s.nftables(ctx, r)
	case unix.NFNL_SUBSYS_NFT_COMPAT:
		m, err := nft.Compat(r, s.localPort())
		if err == nil {
			s.deliver(datagram{data: m})
		}
		return false, err
	case unix.NFNL_SUBSYS_CTNETLINK:
		return s.conntrack(r)
	}
	return false, unix.EINVAL
}

// nftables answers a question about nftables.
func (s *Socket) nftables(ctx *vfs.Context, r *nlmsg.Request) (answered bool, err error) {
	rules := s.ports.stack.NFTables
	if r.Type&msgMask == unix.NFT_MSG_GETGEN {
		pid, name := caller(ctx)
		s.deliver(datagram{data: rules.Generation(r.Seq, s.localPort(), pid, name)})
		return false, nil
	}
	messages, err := rules.Get(r, s.localPort())
	if err != nil {
		if err == unix.EOPNOTSUPP {
			err = unix.EINVAL // it changes something, which only a batch does
		}
		return false, err
	}
	if r.Flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP {
		return true, s.dumpWith(r, func(d *dumper) error {
			for _, m := range messages {
				d.add(m)
			}
			return nil
		})
	}
	for _, m := range messages {
		s.deliver(datagram{data: m})
	}
	return false, nil
}

// caller is the process that asks.
func caller(ctx *vfs.Context) (pid int32, name string) {
	if t, _ := ctx.Task.(*kernel.Task); t != nil {
		return t.ThreadGroup().ID(t.PIDNamespace()), t.Comm()
	}
	return 0, ""
}

// batch carries out a batch of changes to nftables: all or none. Each message that fails, or
// that asks for it, is acknowledged.
func (s *Socket) batch(ctx *vfs.Context, p []byte) {
	begin, rest, _ := nlmsg.Next(p)
	switch {
	case !s.common.HasCap(ctx, unix.CAP_NET_ADMIN):
		s.acknowledge(&begin, unix.EPERM)
		return
	case len(begin.Body) < nfgenmsgLen:
		s.acknowledge(&begin, unix.EINVAL)
		return
	case uint16(begin.Body[2])<<8|uint16(begin.Body[3]) != unix.NFNL_SUBSYS_NFTABLES:
		s.acknowledge(&begin, unix.EOPNOTSUPP)
		return
	}
	attrs, err := nlmsg.Attributes(begin.Body[nfgenmsgLen:])
	if err != nil {
		s.acknowledge(&begin, err)
		return
	}
	x := s.ports.stack.NFTables.Begin()
	if b, ok := attrs[batchGenID]; ok {
		if gen, err := nlmsg.BE32(b); err != nil || !x.Current(gen) {
			x.Abort()
			s.acknowledge(&begin, unix.ERESTART)
			return
		}
	}
	failed, ended := false, false
	var acks []func()
	ack := func(r nlmsg.Request, err error) { acks = append(acks, func() { s.acknowledge(&r, err) }) }
	if begin.Flags&unix.NLM_F_ACK != 0 {
		ack(begin, nil)
	}
	for !ended {
		r, more, ok := nlmsg.Next(rest)
		if !ok {
			break
		}
		rest = more
		switch {
		case r.Type == unix.NFNL_MSG_BATCH_BEGIN, r.Flags&unix.NLM_F_REQUEST == 0:
			failed = true
			ack(r, unix.EINVAL)
			ended = true
			continue
		case r.Type == unix.NFNL_MSG_BATCH_END:
			ended = true
			if r.Flags&unix.NLM_F_ACK != 0 {
				ack(r, nil)
			}
			continue
		}
		var err error
		if r.Type>>subsysShift != unix.NFNL_SUBSYS_NFTABLES {
			err = unix.EINVAL
		} else {
			err = x.Do(&r)
		}
		if err != nil {
			failed = true
		}
		if err != nil || r.Flags&unix.NLM_F_ACK != 0 {
			ack(r, err)
		}
	}
	var events [][]byte
	if failed || !ended {
		x.Abort()
	} else if events, err = x.Commit(); err != nil {
		acks = append(acks, func() { s.acknowledge(&begin, err) })
	}
	for _, f := range acks {
		f()
	}
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		s.ports.publishTo(unix.NETLINK_NETFILTER, groupNFTables, e)
	}
	pid, name := caller(ctx)
	s.ports.publishTo(unix.NETLINK_NETFILTER, groupNFTables, s.ports.stack.NFTables.Generation(0, 0, pid, name))
}
