// Package tundev is the device /dev/net/tun: interfaces of which a program has the other side
// (the kernel's documentation, "Universal TUN/TAP device driver").
package tundev

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack"
	"casemate/netstack/ip"
	"casemate/netstack/link/tap"
	"casemate/netstack/link/virtio"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
	"casemate/sentry/kernel"
	"casemate/sentry/socket/families"
	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// Number of the device.
const (
	major = 10 // MISC_MAJOR
	minor = 200
)

// Sizes.
const (
	ifreqSize = 40
	piLen     = 4 // struct tun_pi: flags and protocol
	maxPacket = 65535 + wire.EthernetLen
	maxNames  = 256
)

// features are those that TUNGETFEATURES tells of.
const features = unix.IFF_TUN | unix.IFF_TAP | unix.IFF_NO_PI | unix.IFF_VNET_HDR

// Register makes the driver known.
func Register(k *kernel.Kernel) {
	k.VFS().RegisterDriver(unix.S_IFCHR, major, minor, minor, driver{k})
}

type driver struct{ k *kernel.Kernel }

// OpenDevice implements vfs.Driver: interfaces are going to be those of the network namespace of
// who opens.
func (d driver) OpenDevice(ctx *vfs.Context, _ *vfs.File, _ vfs.Dev) (vfs.FileOps, error) {
	ns := d.k.RootNamespaces().Net
	if t, ok := ctx.Task.(*kernel.Task); ok {
		ns = t.Namespaces().Net
	}
	ns.IncRef()
	return &file{net: ns, stack: families.Of(d.k, ns).IP}, nil
}

// A file is an open /dev/net/tun, which has an interface from TUNSETIFF on.
type file struct {
	vfs.FileDefaults
	net   *kernel.NetNamespace // with a reference
	stack *netstack.Stack
	queue wait.Queue

	mu      sync.Mutex
	iface   *ip.Interface
	link    *tap.Link
	flags   uint16
	header  int // length of the virtio-net header, with IFF_VNET_HDR
	persist bool
}

// attached returns the link. EBADFD before TUNSETIFF.
func (f *file) attached() (l *tap.Link, flags uint16, header int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link == nil {
		return nil, 0, 0, unix.EBADFD
	}
	return f.link, f.flags, f.header, nil
}

// Read implements vfs.FileOps: it takes one packet. What is longer than dst is cut.
func (f *file) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	l, flags, header, err := f.attached()
	if err != nil {
		return 0, err
	}
	p := l.Next()
	if p == nil {
		return 0, unix.EAGAIN
	}
	defer p.Free()
	var b []byte
	if flags&unix.IFF_NO_PI == 0 {
		typ := p.EtherType
		if l.Ethernet() {
			typ = wire.Ethernet(p.Header()).Type()
		}
		b = binary.BigEndian.AppendUint16([]byte{0, 0}, typ)
	}
	if flags&unix.IFF_VNET_HDR != 0 {
		b = append(b, make([]byte, header)...) // the packet is whole and its checksum computed
	}
	at := len(b)
	b = append(b, make([]byte, p.Len())...)
	p.CopyOut(0, b[at:])
	return dst.CopyOut(b)
}

// Write implements vfs.FileOps: src is one packet. EINVAL if it is none, EMSGSIZE.
func (f *file) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	l, flags, header, err := f.attached()
	if err != nil {
		return 0, err
	}
	if src.Len() > maxPacket+piLen+64 {
		return 0, unix.EMSGSIZE
	}
	b := make([]byte, src.Len())
	if _, err := src.CopyIn(b); err != nil {
		return 0, err
	}
	n := len(b)
	p := pkt.New()
	if flags&unix.IFF_NO_PI == 0 {
		if len(b) < piLen {
			p.Free()
			return 0, unix.EINVAL
		}
		if !l.Ethernet() {
			p.EtherType = binary.BigEndian.Uint16(b[2:])
		}
		b = b[piLen:]
	}
	var vnet []byte
	if flags&unix.IFF_VNET_HDR != 0 {
		if len(b) < header {
			p.Free()
			return 0, unix.EINVAL
		}
		vnet, b = b[:header], b[header:]
	}
	eth := 0
	if l.Ethernet() {
		eth = wire.EthernetLen
	}
	known := l.Ethernet() || flags&unix.IFF_NO_PI == 0 || len(b) > 0 && (b[0]>>4 == 4 || b[0]>>4 == 6)
	if len(b) <= eth || !known || !p.AddBytes(b) || vnet != nil && !virtio.Parse(vnet, p, eth) {
		p.Free()
		return 0, unix.EINVAL
	}
	l.Inject(p)
	return n, nil
}

// Readiness implements vfs.FileOps.
func (f *file) Readiness(mask wait.Events) wait.Events {
	l, _, _, err := f.attached()
	if err != nil {
		return wait.Err
	}
	e := wait.Out | wait.WrNorm
	if l.Waiting() {
		e |= wait.In | wait.RdNorm
	}
	return e & (mask | wait.Err | wait.Hup)
}

// Register implements vfs.FileOps.
func (f *file) Register(e *wait.Entry, mask wait.Events) { f.queue.Register(e, mask) }

// Unregister implements vfs.FileOps.
func (f *file) Unregister(e *wait.Entry) { f.queue.Unregister(e) }

// Release implements vfs.FileOps: the interface goes, unless it is to persist.
func (f *file) Release(*vfs.File) {
	defer f.net.DecRef()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link == nil {
		return
	}
	f.link.Release()
	if !f.persist {
		f.iface.Stack().RemoveInterface(f.iface.Index())
	}
}

// Ioctl implements vfs.FileOps.
func (f *file) Ioctl(ctx *vfs.Context, _ *vfs.File, cmd uint32, arg uint64) (uint64, error) {
	switch cmd {
	case unix.TUNGETFEATURES:
		return 0, putInt(ctx, arg, features)
	case unix.TUNSETIFF:
		return 0, f.setInterface(ctx, arg)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link == nil {
		return 0, unix.EBADFD
	}
	switch cmd {
	case unix.TUNGETIFF:
		var r [ifreqSize]byte
		copy(r[:unix.IFNAMSIZ-1], f.iface.Name())
		binary.NativeEndian.PutUint16(r[unix.IFNAMSIZ:], f.flags)
		_, err := ctx.Mem.CopyOut(arg, r[:])
		return 0, err
	case unix.TUNSETPERSIST:
		f.persist = arg != 0
		return 0, nil
	case unix.TUNGETVNETHDRSZ:
		return 0, putInt(ctx, arg, f.header)
	case unix.TUNSETVNETHDRSZ:
		var b [4]byte
		if _, err := ctx.Mem.CopyIn(b[:], arg); err != nil {
			return 0, err
		}
		n := int(int32(binary.NativeEndian.Uint32(b[:])))
		if n < virtio.HeaderLen || n > 64 {
			return 0, unix.EINVAL
		}
		f.header = n
		return 0, nil
	case unix.TUNSETOFFLOAD:
		// The program takes packets that are not whole: it is given whole ones.
		return 0, nil
	}
	return 0, unix.ENOTTY
}

func putInt(ctx *vfs.Context, arg uint64, v int) error {
	_, err := ctx.Mem.CopyOut(arg, binary.NativeEndian.AppendUint32(nil, uint32(v)))
	return err
}

// setInterface is TUNSETIFF: it makes an interface, or takes the program's side of one that is
// there. EPERM, EINVAL, EBUSY, EEXIST.
func (f *file) setInterface(ctx *vfs.Context, arg uint64) error {
	if !f.net.HasCap(ctx.Cred, unix.CAP_NET_ADMIN) {
		return unix.EPERM
	}
	var r [ifreqSize]byte
	if _, err := ctx.Mem.CopyIn(r[:], arg); err != nil {
		return err
	}
	flags := binary.NativeEndian.Uint16(r[unix.IFNAMSIZ:])
	kind := flags & (unix.IFF_TUN | unix.IFF_TAP)
	if kind != unix.IFF_TUN && kind != unix.IFF_TAP || flags&^(features|unix.IFF_ONE_QUEUE|unix.IFF_TUN_EXCL) != 0 {
		return unix.EINVAL
	}
	name, _, _ := bytes.Cut(r[:unix.IFNAMSIZ-1], []byte{0})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.link != nil {
		return unix.EEXIST
	}
	i, l, err := f.open(f.stack, string(name), kind == unix.IFF_TAP, flags&unix.IFF_TUN_EXCL != 0)
	if err != nil {
		return err
	}
	f.iface, f.link, f.header = i, l, virtio.HeaderLen
	f.flags = flags & features
	clear(r[:unix.IFNAMSIZ])
	copy(r[:unix.IFNAMSIZ-1], i.Name())
	_, err = ctx.Mem.CopyOut(arg, r[:])
	return err
}

// open finds or makes an interface and takes the program's side. A name with %d gets the
// first number that is free.
func (f *file) open(stack *netstack.Stack, name string, ethernet, exclusive bool) (*ip.Interface, *tap.Link, error) {
	notify := func() { f.queue.Notify(wait.In | wait.RdNorm) }
	if i := stack.InterfaceByName(name); i != nil {
		l, ok := i.Link().(*tap.Link)
		switch {
		case !ok || l.Ethernet() != ethernet:
			return nil, nil, unix.EINVAL
		case exclusive || !l.Hold(notify):
			return nil, nil, unix.EBUSY
		}
		f.persist = true
		return i, l, nil
	}
	if name == "" {
		if name = "tun%d"; ethernet {
			name = "tap%d"
		}
	}
	var mac wire.MAC
	rand.Read(mac[:])
	mac[0] = mac[0]&^1 | 2 // a local address, of one station
	l := tap.New(ethernet, mac)
	l.Hold(notify)
	before, after, numbered := bytes.Cut([]byte(name), []byte("%d"))
	for n := range maxNames {
		if numbered {
			name = fmt.Sprintf("%s%d%s", before, n, after)
		}
		i, err := stack.AddInterface(name, l)
		if err == unix.EEXIST && numbered {
			continue
		}
		if err == nil {
			stack.Autoconfigure(i)
		}
		return i, l, err
	}
	return nil, nil, unix.ENFILE
}
