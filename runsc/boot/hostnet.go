package boot

import (
	"fmt"

	"golang.org/x/sys/unix"

	"casemate/runsc/seccomp"
	"casemate/sentry/socket/hostinet"
)

// openHostNetwork prepares for sockets of the host, in the network namespace that the
// sandbox has been started in.
func (s *sandbox) openHostNetwork() error {
	s.hostNet = hostinet.New(s.poller)
	if err := s.hostNet.OpenProc(); err != nil {
		return err
	}
	return upLoopback()
}

// upLoopback brings lo up if the network namespace is the sandbox's own and new; nobody
// else would.
func upLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("making a socket of the host: %w", err)
	}
	defer unix.Close(fd)
	r, err := unix.NewIfreq("lo")
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, r)
	}
	if err != nil {
		return fmt.Errorf("looking at lo: %w", err)
	}
	if r.Uint16()&unix.IFF_UP != 0 {
		return nil
	}
	r.SetUint16(r.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, r); err != nil && err != unix.EPERM {
		return fmt.Errorf("bringing lo up: %w", err)
	}
	return nil // EPERM: the namespace is another's, and lo is down there
}

// hostNetworkRules are the calls on sockets of the host beside those that every sandbox
// makes: of the families and types that package hostinet makes, and none that opens a
// socket of AF_UNIX or AF_PACKET.
func hostNetworkRules() []seccomp.Rule {
	const low = 0xffffffff
	rules := seccomp.Allow(unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_ACCEPT4, unix.SYS_GETSOCKNAME,
		unix.SYS_GETPEERNAME, unix.SYS_GETSOCKOPT, unix.SYS_SENDMSG)
	for _, family := range []uint64{unix.AF_INET, unix.AF_INET6} {
		rules = append(rules, seccomp.Rule{Nr: unix.SYS_SOCKET, Args: []seccomp.Arg{{Index: 0, Value: family, Mask: low}}})
	}
	rules = append(rules, seccomp.Rule{Nr: unix.SYS_SOCKET, Args: []seccomp.Arg{
		{Index: 0, Value: unix.AF_NETLINK, Mask: low}, {Index: 2, Value: unix.NETLINK_ROUTE, Mask: low}}})
	for _, level := range []uint64{unix.SOL_SOCKET, unix.IPPROTO_IP, unix.IPPROTO_IPV6, unix.IPPROTO_TCP, unix.IPPROTO_UDP,
		unix.IPPROTO_ICMPV6, unix.SOL_RAW, unix.SOL_NETLINK} {
		rules = append(rules, seccomp.Rule{Nr: unix.SYS_SETSOCKOPT, Args: []seccomp.Arg{{Index: 1, Value: level, Mask: low}}})
	}
	for _, request := range hostinet.Requests {
		rules = append(rules, seccomp.Rule{Nr: unix.SYS_IOCTL, Args: []seccomp.Arg{{Index: 1, Value: uint64(request), Mask: low}}})
	}
	return rules
}
