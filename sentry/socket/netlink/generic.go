package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// A family is one of those of NETLINK_GENERIC, linux/genetlink.h.
type family struct {
	id         uint16
	name       string
	version    uint8
	operations []operation
	groups     []group
}

// An operation is a command of a family.
type operation struct {
	command uint8
	flags   uint32 // GENL_CMD_CAP_*
	do      func(s *Socket, q *genericRequest) error
	dump    func(s *Socket, d *dumper, q *genericRequest) error
}

// A group is one whose members are told of changes.
type group struct {
	id   uint32
	name string
}

// A genericRequest is a request to a family.
type genericRequest struct {
	*nlmsg.Request
	family *family
	attrs  map[uint16][]byte
}

// begin begins an answer of a command.
func (q *genericRequest) begin(m *nlmsg.Builder, s *Socket, flags uint16, command uint8) {
	m.Begin(q.family.id, flags, q.Seq, s.localPort(), command, q.family.version, 0, 0)
}

// families are those that there are, by their numbers.
func families() []*family { return []*family{&controller, &ethtool} }

// generic serves a request of NETLINK_GENERIC. ENOENT for a family that there is not, EOPNOTSUPP for a command.
func (s *Socket) generic(r *nlmsg.Request) (answered bool, err error) {
	q := &genericRequest{Request: r}
	for _, f := range families() {
		if f.id == r.Type {
			q.family = f
		}
	}
	switch {
	case q.family == nil:
		return false, unix.ENOENT
	case len(r.Body) < unix.GENL_HDRLEN:
		return false, unix.EINVAL
	}
	if q.attrs, err = nlmsg.Attributes(r.Body[unix.GENL_HDRLEN:]); err != nil {
		return false, err
	}
	all := r.Flags&unix.NLM_F_DUMP == unix.NLM_F_DUMP
	for _, o := range q.family.operations {
		switch {
		case o.command != r.Body[0]:
		case all && o.dump != nil:
			return true, s.dumpWith(r, func(d *dumper) error { return o.dump(s, d, q) })
		case !all && o.do != nil:
			return false, o.do(s, q)
		}
	}
	return false, unix.EOPNOTSUPP
}
