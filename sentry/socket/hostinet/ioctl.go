package hostinet

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/socket/netdev"
	"casemate/vfs"
)

// ifreqLen is the size of struct ifreq in bytes.
const ifreqLen = 40

// maxInterfaces bounds what SIOCGIFCONF gives.
const maxInterfaces = 4096

// Requests are the ioctls that reach the host. All have an int or a struct ifreq, of which
// they change nothing on the host, but for SIOCGIFCONF.
var Requests = []uint32{
	unix.SIOCINQ, unix.SIOCOUTQ, netdev.SIOCATMARK,
	unix.SIOCGIFNAME, unix.SIOCGIFFLAGS, unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFBRDADDR, unix.SIOCGIFNETMASK,
	unix.SIOCGIFMETRIC, unix.SIOCGIFMTU, unix.SIOCGIFHWADDR, unix.SIOCGIFINDEX, unix.SIOCGIFMAP, unix.SIOCGIFTXQLEN,
	unix.SIOCGIFCONF,
}

// Ioctl implements vfs.FileOps.
func (s *Socket) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	switch cmd {
	case unix.SIOCINQ, unix.SIOCOUTQ, netdev.SIOCATMARK:
		var b [4]byte
		if err := hostIoctl(s.fd, cmd, b[:]); err != nil {
			return 0, err
		}
		_, err := ctx.Mem.CopyOut(arg, b[:])
		return 0, err
	}
	return devices(ctx, s.fd, cmd, arg)
}

// Ioctl serves the requests on interfaces (netdevice(7)) of a socket that is not the host's: a
// socket of any family has them. ENOTTY for others.
func (h *Host) Ioctl(ctx *vfs.Context, cmd uint32, arg uint64) (uint64, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return devices(ctx, fd, cmd, arg)
}

// devices serves the requests on interfaces by a socket of the host.
func devices(ctx *vfs.Context, fd int, cmd uint32, arg uint64) (uint64, error) {
	switch cmd {
	case unix.SIOCGIFCONF:
		return 0, interfaces(ctx, fd, arg)
	case unix.SIOCGIFNAME, unix.SIOCGIFFLAGS, unix.SIOCGIFADDR, unix.SIOCGIFDSTADDR, unix.SIOCGIFBRDADDR, unix.SIOCGIFNETMASK,
		unix.SIOCGIFMETRIC, unix.SIOCGIFMTU, unix.SIOCGIFHWADDR, unix.SIOCGIFINDEX, unix.SIOCGIFMAP, unix.SIOCGIFTXQLEN:
		var b [ifreqLen]byte
		if _, err := ctx.Mem.CopyIn(b[:], arg); err != nil {
			return 0, err
		}
		if err := hostIoctl(fd, cmd, b[:]); err != nil {
			return 0, err
		}
		_, err := ctx.Mem.CopyOut(arg, b[:])
		return 0, err
	case unix.SIOCSIFFLAGS, unix.SIOCSIFADDR, unix.SIOCSIFNETMASK, unix.SIOCSIFMTU:
		return 0, unix.EPERM
	}
	return 0, unix.ENOTTY
}

// interfaces is SIOCGIFCONF (netdevice(7)).
func interfaces(ctx *vfs.Context, fd int, arg uint64) error {
	var conf [16]byte
	if _, err := ctx.Mem.CopyIn(conf[:], arg); err != nil {
		return err
	}
	room, to := int32(ne.Uint32(conf[:])), ne.Uint64(conf[8:])
	if room < 0 {
		return unix.EINVAL
	}
	var buf []byte
	if to != 0 {
		buf = make([]byte, min(int(room), maxInterfaces*ifreqLen))
	}
	n, err := hostInterfaces(fd, buf)
	if err != nil {
		return err
	}
	if to != 0 {
		if _, err := ctx.Mem.CopyOut(to, buf[:min(n, len(buf))]); err != nil {
			return err
		}
	}
	ne.PutUint32(conf[:], uint32(n))
	_, err = ctx.Mem.CopyOut(arg, conf[:4])
	return err
}
