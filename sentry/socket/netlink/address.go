package netlink

import (
	"net/netip"

	"golang.org/x/sys/unix"

	"casemate/netstack/ip"
	"casemate/netstack/link/ipvlan"
	"casemate/netstack/nlmsg"
	"casemate/vfs"
)

// ifaddr is the struct ifaddrmsg of an address.
func ifaddr(i *ip.Interface, a *ip.Address) []byte {
	p := []byte{nlmsg.Family(a.Prefix.Addr()), uint8(a.Prefix.Bits()), uint8(a.Flags), a.Scope}
	return ne.AppendUint32(p, uint32(i.Index()))
}

// putAddress appends the attributes of an address.
func putAddress(m *nlmsg.Builder, a *ip.Address) {
	local, peer := a.Prefix.Addr(), a.Prefix.Addr()
	if a.Peer.IsValid() {
		peer = a.Peer
	}
	if local.Is4() || a.Peer.IsValid() {
		m.AttrAddr(unix.IFA_ADDRESS, peer)
		m.AttrAddr(unix.IFA_LOCAL, local)
	} else {
		m.AttrAddr(unix.IFA_ADDRESS, local)
	}
	if a.Broadcast.IsValid() {
		m.AttrAddr(unix.IFA_BROADCAST, a.Broadcast)
	}
	if local.Is4() && a.Label != "" {
		m.AttrString(unix.IFA_LABEL, a.Label)
	}
	m.Attr32(unix.IFA_FLAGS, a.Flags)
	var info []byte // struct ifa_cacheinfo
	for _, v := range [...]uint32{a.Preferred, a.Valid, 0, 0} {
		info = ne.AppendUint32(info, v)
	}
	m.Attr(unix.IFA_CACHEINFO, info)
}

func (s *Socket) dumpAddresses(ctx *vfs.Context, d *dumper) (err error) {
	family, index, at, id := d.r.Body[0], int32(0), s.ports, []byte(nil)
	if len(d.r.Body) >= unix.SizeofIfAddrmsg && s.option(unix.NETLINK_GET_STRICT_CHK) {
		index = int32(ne.Uint32(d.r.Body[4:]))
		if at, id, err = s.dumped(ctx, d.r, unix.SizeofIfAddrmsg, unix.IFA_TARGET_NETNSID); err != nil {
			return err
		}
	}
	for _, want := range [...]uint8{unix.AF_INET, unix.AF_INET6} {
		if family != unix.AF_UNSPEC && family != want {
			continue
		}
		for _, i := range at.stack.Interfaces() {
			if index != 0 && i.Index() != index {
				continue
			}
			for _, a := range at.stack.Addresses(i) {
				if nlmsg.Family(a.Prefix.Addr()) == want {
					d.next(unix.RTM_NEWADDR, ifaddr(i, &a)...)
					if id != nil {
						d.Attr(unix.IFA_TARGET_NETNSID, id)
					}
					putAddress(&d.Builder, &a)
					d.End()
				}
			}
		}
	}
	return nil
}

// parseAddress reads a struct ifaddrmsg with its attributes. EINVAL, ENODEV.
func (s *Socket) parseAddress(r *nlmsg.Request) (i *ip.Interface, a ip.Address, err error) {
	if len(r.Body) < unix.SizeofIfAddrmsg {
		return nil, a, unix.EINVAL
	}
	family, bits, scope, index := r.Body[0], int(r.Body[1]), r.Body[3], int32(ne.Uint32(r.Body[4:]))
	attrs, err := nlmsg.Attributes(r.Body[unix.SizeofIfAddrmsg:])
	if err != nil {
		return nil, a, err
	}
	if i = s.ports.stack.Interface(index); i == nil {
		return nil, a, unix.ENODEV
	}
	p, ok := attrs[unix.IFA_LOCAL]
	if !ok {
		if p, ok = attrs[unix.IFA_ADDRESS]; !ok {
			return nil, a, unix.EINVAL
		}
	}
	local, err := nlmsg.Addr(family, p)
	if err != nil {
		return nil, a, err
	}
	if bits > local.BitLen() {
		return nil, a, unix.EINVAL
	}
	a = ip.Address{Prefix: netip.PrefixFrom(local, bits), Scope: scope, Flags: uint32(r.Body[2])}
	if p, ok := attrs[unix.IFA_ADDRESS]; ok {
		peer, err := nlmsg.Addr(family, p)
		if err != nil {
			return nil, a, err
		}
		if peer != local {
			a.Peer = peer
		}
	}
	if p, ok := attrs[unix.IFA_BROADCAST]; ok {
		if a.Broadcast, err = nlmsg.Addr(family, p); err != nil {
			return nil, a, err
		}
	}
	if p, ok := attrs[unix.IFA_FLAGS]; ok {
		if a.Flags, err = nlmsg.Uint32(p); err != nil {
			return nil, a, err
		}
	}
	if p, ok := attrs[unix.IFA_CACHEINFO]; ok && len(p) >= 8 {
		a.Preferred, a.Valid = ne.Uint32(p), ne.Uint32(p[4:])
		if a.Valid == 0 || a.Preferred > a.Valid {
			return nil, a, unix.EINVAL
		}
	}
	// What the kernel knows better, and that an address of IPv6 has to be checked first.
	a.Flags &^= unix.IFA_F_PERMANENT | unix.IFA_F_TENTATIVE | unix.IFA_F_DEPRECATED | unix.IFA_F_DADFAILED | unix.IFA_F_SECONDARY
	if family == unix.AF_INET6 {
		a.Flags |= unix.IFA_F_TENTATIVE
	}
	if a.Label = i.Name(); family == unix.AF_INET {
		if p, ok := attrs[unix.IFA_LABEL]; ok {
			a.Label = nlmsg.String(p)
		}
	}
	return i, a, nil
}

// changeAddress adds or removes an address.
func (s *Socket) changeAddress(r *nlmsg.Request) error {
	i, a, err := s.parseAddress(r)
	if err != nil {
		return err
	}
	stack := s.ports.stack
	if r.Type == unix.RTM_DELADDR {
		if err = stack.RemoveAddress(i, a.Prefix); err == unix.EADDRNOTAVAIL && a.Prefix.Addr().Is4() {
			err = nlmsg.Refuse(unix.EADDRNOTAVAIL, nil, "ipv4: Address not found")
		}
	} else {
		if l, ok := i.Link().(*ipvlan.Link); ok && l.Taken(a.Prefix.Addr()) {
			return nlmsg.Refuse(unix.EADDRINUSE, nil, "Address already assigned to an ipvlan device")
		}
		if err = stack.AddAddress(i, a); err == unix.EEXIST && r.Flags&unix.NLM_F_REPLACE != 0 {
			err = nil
		} else if err == unix.EEXIST {
			err = nlmsg.Refuse(unix.EEXIST, nil, "ipv4: Address already assigned")
			if a.Prefix.Addr().Is6() {
				err = nlmsg.Refuse(unix.EEXIST, nil, "ipv6: address already assigned")
			}
		}
	}
	return err
}
