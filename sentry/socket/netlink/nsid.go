package netlink

import (
	"maps"
	"slices"
	"sync"
	"weak"

	"golang.org/x/sys/unix"

	"casemate/netstack/nlmsg"
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// Attributes of RTM_NEWNSID and its like (NETNSA_*).
const (
	nsaID        = 1
	nsaPID       = 2
	nsaFD        = 3
	nsaTarget    = 4
	nsaNone      = -1 // NETNSA_NSID_NOT_ASSIGNED
	groupNSID    = 28 // RTNLGRP_NSID
	maxNSID      = 1 << 20
	rtgenmsgSize = 4 // struct rtgenmsg, padded
)

// nsids are the numbers by which a namespace knows others (ip-netns(8), set), until those go.
type nsids struct {
	mu sync.Mutex
	m  map[int32]*kernel.NetNamespace // without references
}

// find is the number of a namespace, nsaNone if it has none.
func (n *nsids) find(ns *kernel.NetNamespace) int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.findLocked(ns)
}

func (n *nsids) findLocked(ns *kernel.NetNamespace) int32 {
	for id, o := range n.m {
		if o == ns {
			return id
		}
	}
	return nsaNone
}

// assign gives a namespace a number; negative: the first that is free. EEXIST if it has one, or the
// number is taken; ENOSPC.
func (n *nsids) assign(ns *kernel.NetNamespace, id int32) (int32, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if has := n.findLocked(ns); has != nsaNone {
		return has, unix.EEXIST
	}
	if id < 0 {
		for id = 0; id < maxNSID; id++ {
			if _, taken := n.m[id]; !taken {
				break
			}
		}
	}
	if _, taken := n.m[id]; taken {
		return 0, unix.EEXIST
	}
	if len(n.m) >= maxNSID {
		return 0, unix.ENOSPC
	}
	if n.m == nil {
		n.m = map[int32]*kernel.NetNamespace{}
	}
	n.m[id] = ns
	return id, nil
}

// forget takes a namespace's number away, nsaNone if it has none.
func (n *nsids) forget(ns *kernel.NetNamespace) int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	id := n.findLocked(ns)
	delete(n.m, id)
	return id
}

// named is the namespace that has a number, with a reference, or nil.
func (n *nsids) named(id int32) *kernel.NetNamespace {
	n.mu.Lock()
	defer n.mu.Unlock()
	if ns := n.m[id]; ns != nil && ns.TryIncRef() {
		return ns
	}
	return nil
}

// numbered is the namespace that has a number in s's (IFLA_TARGET_NETNSID and its like). EINVAL if none
// has it, EACCES without CAP_NET_ADMIN there.
func (s *Socket) numbered(ctx *vfs.Context, attr []byte) (*Ports, error) {
	id, err := nlmsg.Uint32(attr)
	if err != nil {
		return nil, err
	}
	ns := s.ports.ids.named(int32(id))
	if ns == nil {
		return nil, nlmsg.At(unix.EINVAL, attr)
	}
	defer ns.DecRef()
	if !ns.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
		return nil, unix.EACCES
	}
	return s.ports.of(ns), nil
}

// dumped is the namespace of which a dump is to tell: that of the number that is in an attribute behind a header of
// that length, with the number, or s's own. EINVAL, EACCES.
func (s *Socket) dumped(ctx *vfs.Context, r *nlmsg.Request, header int, attr uint16) (at *Ports, id []byte, err error) {
	if len(r.Body) < header {
		return s.ports, nil, nil
	}
	attrs, err := nlmsg.Attributes(r.Body[header:])
	if err != nil {
		return nil, nil, err
	}
	id, ok := attrs[attr]
	if !ok {
		return s.ports, nil, nil
	}
	if at, err = s.numbered(ctx, id); err != nil {
		return nil, nil, err
	}
	return at, id[:4], nil
}

// all are the numbers, sorted.
func (n *nsids) all() []int32 {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Sorted(maps.Keys(n.m))
}

// idOf is the number of a namespace, which it gets if it has none.
func (p *Ports) idOf(ns *kernel.NetNamespace) int32 {
	id, _ := p.name(ns, -1)
	return id
}

// name gives a namespace, of which the caller has a reference, a number as nsids.assign does, and
// tells of it.
func (p *Ports) name(ns *kernel.NetNamespace, id int32) (int32, error) {
	id, err := p.ids.assign(ns, id)
	if err != nil {
		return id, err
	}
	o := p.of(ns)
	o.mu.Lock()
	o.namers = append(o.namers, weak.Make(p))
	o.mu.Unlock()
	p.publishNSID(unix.RTM_NEWNSID, id)
	return id, nil
}

// Close takes away the numbers by which others know the namespace, which goes, and tells of that.
func (p *Ports) Close() {
	p.mu.Lock()
	namers := p.namers
	p.namers = nil
	p.mu.Unlock()
	for _, w := range namers {
		o := w.Value()
		if o == nil {
			continue // it has gone itself
		}
		if id := o.ids.forget(p.inet.Net); id != nsaNone {
			o.publishNSID(unix.RTM_DELNSID, id)
		}
	}
}

func (p *Ports) publishNSID(typ uint16, id int32) {
	var m nlmsg.Builder
	putNSID(&m, typ, 0, 0, 0, id)
	p.publish(groupNSID, m.B)
}

func putNSID(m *nlmsg.Builder, typ, flags uint16, seq, port uint32, id int32) {
	m.Begin(typ, flags, seq, port, unix.AF_UNSPEC, 0, 0, 0)
	m.Attr32(nsaID, uint32(id))
	m.End()
}

func (s *Socket) dumpNSIDs(d *dumper) error {
	for _, id := range s.ports.ids.all() {
		if len(d.B) > dumpSize {
			d.flush()
		}
		putNSID(&d.Builder, unix.RTM_NEWNSID, unix.NLM_F_MULTI, d.r.Seq, d.port, id)
	}
	return nil
}

// nsid serves RTM_NEWNSID and RTM_GETNSID. EINVAL, EEXIST; EBADF, ESRCH, ENOENT for a namespace that is
// not there; EOPNOTSUPP for the numbers that a third one has.
func (s *Socket) nsid(ctx *vfs.Context, r *nlmsg.Request) error {
	if len(r.Body) < rtgenmsgSize {
		return unix.EINVAL
	}
	attrs, err := nlmsg.Attributes(r.Body[rtgenmsgSize:])
	if err != nil {
		return err
	}
	id, idErr := nlmsg.Uint32(attrs[nsaID])
	if p, ok := attrs[nsaTarget]; ok {
		return nlmsg.At(unix.EOPNOTSUPP, p)
	}
	ns, err := namespaceOf(ctx, attrs[nsaPID], attrs[nsaFD])
	if err != nil {
		return err
	}
	if ns == nil && idErr == nil && r.Type == unix.RTM_GETNSID {
		if ns = s.ports.ids.named(int32(id)); ns == nil {
			return nlmsg.Refuse(unix.ENOENT, attrs[nsaID], "Peer netns reference is invalid")
		}
	}
	if ns == nil {
		return unix.EINVAL
	}
	defer ns.DecRef()
	if r.Type == unix.RTM_GETNSID {
		var m nlmsg.Builder
		putNSID(&m, unix.RTM_NEWNSID, 0, r.Seq, s.localPort(), s.ports.ids.find(ns))
		s.deliver(datagram{data: m.B})
		return nil
	}
	if idErr != nil {
		return unix.EINVAL
	}
	switch _, err = s.ports.name(ns, int32(id)); {
	case err == unix.EEXIST && s.ports.ids.find(ns) != nsaNone:
		return nlmsg.Refuse(unix.EEXIST, nil, "Peer netns already has a nsid assigned")
	case err == unix.EEXIST:
		return nlmsg.Refuse(unix.EEXIST, attrs[nsaID], "The specified nsid is already used")
	}
	return nlmsg.At(err, attrs[nsaID])
}

// namespaceOf is the network namespace that an attribute names, by a process's number or by a
// descriptor of the caller's, with a reference; nil if neither is there. EINVAL, ESRCH, EBADF.
func namespaceOf(ctx *vfs.Context, pid, fd []byte) (*kernel.NetNamespace, error) {
	t, _ := ctx.Task.(*kernel.Task)
	if t == nil || pid == nil && fd == nil {
		return nil, nil
	}
	if pid != nil {
		n, err := nlmsg.Uint32(pid)
		if err != nil {
			return nil, err
		}
		ns, err := t.NetNamespaceOfProcess(int32(n))
		return ns, nlmsg.At(err, pid)
	}
	n, err := nlmsg.Uint32(fd)
	if err != nil {
		return nil, err
	}
	ns, err := t.NetNamespaceOf(int32(n))
	return ns, nlmsg.At(err, fd)
}
