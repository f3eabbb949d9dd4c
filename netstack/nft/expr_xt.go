package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/filter"
	"casemate/netstack/nlmsg"
	"casemate/netstack/xt"
)

// extension is a match or target of xtables inside a rule, as iptables-nft has them.
type extension struct {
	name string
	rev  uint32
	info []byte // as it came
}

func (e *extension) dump(d *dumper) {
	d.AttrString(unix.NFTA_MATCH_NAME, e.name)
	d.AttrBE32(unix.NFTA_MATCH_REV, e.rev)
	d.Attr(unix.NFTA_MATCH_INFO, e.info)
}

// parseExtension reads what matches and targets have alike.
func (p *parser) parseExtension() (extension, xt.Use) {
	e := extension{name: nlmsg.String(p.attrs[unix.NFTA_MATCH_NAME]), rev: p.be32(unix.NFTA_MATCH_REV, 0), info: append([]byte{}, p.attrs[unix.NFTA_MATCH_INFO]...)}
	u := xt.Use{Family: p.table.family, Proto: p.proto, InverseProto: p.inverse}
	if u.Family == familyInet {
		u.Family = unix.NFPROTO_UNSPEC
	}
	return e, u
}

// match is a match of xtables.
type match struct {
	extension
	xt.Match
}

func parseMatch(p *parser) (expr, error) {
	e, use := p.parseExtension()
	m, err := xt.NewMatch(use, e.name, uint8(e.rev), e.info)
	if err != nil {
		return nil, err
	}
	return &match{e, m}, nil
}

func (e *match) eval(r *registers, c *filter.Context) {
	if !e.Matches(c) {
		r.verdict = breakVerdict
	}
}

func (e *match) demands() demands { return demands{track: xt.Tracks(e.name)} }

// target is a target of xtables.
type target struct {
	extension
	xt.Target
}

func parseTarget(p *parser) (expr, error) {
	e, use := p.parseExtension()
	hooks, nat := xt.TargetHooks(e.name)
	if nat && p.table.name != "nat" || hooks != 0 && p.chain != nil && p.chain.base != nil && hooks&(1<<p.chain.base.hook) == 0 {
		return nil, unix.EINVAL
	}
	t, err := xt.NewTarget(use, e.name, uint8(e.rev), e.info)
	if err != nil {
		return nil, err
	}
	return &target{e, t}, nil
}

func (e *target) eval(r *registers, c *filter.Context) {
	switch v := e.Apply(c); v {
	case xt.Continue:
	case xt.Return:
		r.verdict = returnVerdict
	default:
		r.verdict = int32(v)
	}
}

func (e *target) demands() demands {
	hooks, nat := xt.TargetHooks(e.name)
	return demands{track: nat || xt.Tracks(e.name), nat: nat, hooks: hooks}
}

// Compat answers a question of NFNL_SUBSYS_NFT_COMPAT: whether there is a match or target of
// a revision. ENOENT, EINVAL, EPROTONOSUPPORT.
func Compat(q *nlmsg.Request, port uint32) ([]byte, error) {
	if len(q.Body) < nfgenmsgLen {
		return nil, unix.EINVAL
	}
	a, err := nlmsg.Attributes(q.Body[nfgenmsgLen:])
	if err != nil {
		return nil, err
	}
	name, typ := nlmsg.String(a[unix.NFTA_COMPAT_NAME]), a[unix.NFTA_COMPAT_TYPE]
	rev, err := nlmsg.BE32(a[unix.NFTA_COMPAT_REV])
	if err != nil || len(typ) < 4 {
		return nil, unix.EINVAL
	}
	best, ok := xt.Revision(q.Body[0], name, binary.BigEndian.Uint32(typ) == 1, uint8(rev))
	if !ok {
		if best < 0 {
			return nil, unix.ENOENT
		}
		return nil, unix.EPROTONOSUPPORT
	}
	var d dumper
	d.Begin(q.Type, 0, q.Seq, port, q.Body[0], unix.NFNETLINK_V0, 0, 0)
	d.AttrString(unix.NFTA_COMPAT_NAME, name)
	d.AttrBE32(unix.NFTA_COMPAT_REV, uint32(best))
	d.Attr(unix.NFTA_COMPAT_TYPE, typ)
	d.End()
	return d.B, nil
}
