package hostinet

import "golang.org/x/sys/unix"

// readOnly checks that all messages of a datagram to the host's rtnetlink ask for
// something: EPERM for one that would change it. The host would not let it either, for
// the sentry has no capability there.
func readOnly(p []byte) error {
	for len(p) >= unix.SizeofNlMsghdr {
		length := int(ne.Uint32(p))
		if length < unix.SizeofNlMsghdr || length > len(p) {
			return nil // the host, too, looks at nothing behind it
		}
		switch ne.Uint16(p[4:]) {
		case unix.RTM_GETLINK, unix.RTM_GETADDR, unix.RTM_GETROUTE, unix.RTM_GETNEIGH, unix.RTM_GETRULE, unix.NLMSG_NOOP, unix.NLMSG_DONE:
		default:
			return unix.EPERM
		}
		p = p[min((length+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(p)):]
	}
	return nil
}
