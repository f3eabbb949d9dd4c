package netlink

import (
	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
)

// controller is the family that tells of the others (nlctrl). It has no policies to show.
var controller = family{id: unix.GENL_ID_CTRL, name: "nlctrl", version: 2, groups: []group{{unix.GENL_ID_CTRL, "notify"}}}

func init() {
	controller.operations = []operation{{unix.CTRL_CMD_GETFAMILY, unix.GENL_CMD_CAP_DO | unix.GENL_CMD_CAP_DUMP | unix.GENL_CMD_CAP_HASPOL, (*Socket).getFamily, (*Socket).dumpFamilies}}
}

// getFamily answers with the family of a number or a name. EINVAL, ENOENT.
func (s *Socket) getFamily(q *genericRequest) error {
	id, named := q.attrs[unix.CTRL_ATTR_FAMILY_ID]
	name, ok := q.attrs[unix.CTRL_ATTR_FAMILY_NAME]
	if !named && !ok || named && len(id) < 2 {
		return unix.EINVAL
	}
	for _, f := range families() {
		if ok && f.name != nlmsg.String(name) || !ok && f.id != ne.Uint16(id) {
			continue
		}
		var m nlmsg.Builder
		q.begin(&m, s, 0, unix.CTRL_CMD_NEWFAMILY)
		putFamily(&m, f)
		m.End()
		s.deliver(datagram{data: m.B})
		return nil
	}
	return unix.ENOENT
}

func (s *Socket) dumpFamilies(d *dumper, q *genericRequest) error {
	for _, f := range families() {
		d.flush() // its answers are long
		q.begin(&d.Builder, s, unix.NLM_F_MULTI, unix.CTRL_CMD_NEWFAMILY)
		putFamily(&d.Builder, f)
		d.End()
	}
	return nil
}

// putFamily appends the attributes of a family.
func putFamily(m *nlmsg.Builder, f *family) {
	m.AttrString(unix.CTRL_ATTR_FAMILY_NAME, f.name)
	m.Attr(unix.CTRL_ATTR_FAMILY_ID, ne.AppendUint16(nil, f.id))
	m.Attr32(unix.CTRL_ATTR_VERSION, uint32(f.version))
	m.Attr32(unix.CTRL_ATTR_HDRSIZE, 0)
	m.Attr32(unix.CTRL_ATTR_MAXATTR, 0)
	m.Nest(unix.CTRL_ATTR_OPS, func() {
		for k, o := range f.operations {
			m.Nest(uint16(k+1), func() {
				m.Attr32(unix.CTRL_ATTR_OP_ID, uint32(o.command))
				m.Attr32(unix.CTRL_ATTR_OP_FLAGS, o.flags)
			})
		}
	})
	m.Nest(unix.CTRL_ATTR_MCAST_GROUPS, func() {
		for k, g := range f.groups {
			m.Nest(uint16(k+1), func() {
				m.AttrString(unix.CTRL_ATTR_MCAST_GRP_NAME, g.name)
				m.Attr32(unix.CTRL_ATTR_MCAST_GRP_ID, g.id)
			})
		}
	})
}
