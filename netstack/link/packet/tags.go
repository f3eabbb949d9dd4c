package packet

import (
	"encoding/binary"
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"casemate/netstack/backlog"
	"casemate/netstack/link"
	"casemate/netstack/link/virtio"
	"casemate/netstack/pkt"
	"casemate/netstack/wire"
)

// Link is a link over a host device. Linux takes the tags of VLANs out of the frames that packet sockets get and
// tells them beside, which costs every frame more; so tagged frames come by a socket of their own, for which Go's
// runtime waits, as they are rare.
type Link struct {
	*virtio.Link
	tags *os.File
	wg   sync.WaitGroup
}

// New makes a link of descriptors from Open, of which there are at least three, and which it owns from now on, even
// if it fails.
func New(fds []int, info link.Info) (*Link, error) {
	channels := len(fds) - 2
	tags := os.NewFile(uintptr(fds[channels+1]), "tagged frames")
	v, err := virtio.New(info, fds[:channels]...)
	if err != nil {
		unix.Close(fds[channels])
		tags.Close()
		return nil, err
	}
	v.SendBy(fds[channels])
	return &Link{Link: v, tags: tags}, nil
}

// Attach implements link.Link.
func (l *Link) Attach(rx pkt.Receiver, b *backlog.Set) error {
	tags, err := l.tags.SyscallConn()
	if err != nil {
		return err
	}
	if err := l.Link.Attach(rx, b); err != nil {
		return err
	}
	l.wg.Go(func() { receive(tags, rx, b) })
	return nil
}

// Close implements link.Link.
func (l *Link) Close() {
	l.tags.Close()
	l.wg.Wait()
	l.Link.Close()
}

// maxFrame is the longest frame, in bytes, that comes at once.
const maxFrame = wire.EthernetLen + 65536

// receive takes tagged frames until their socket is closed.
func receive(tags syscall.RawConn, rx pkt.Receiver, b *backlog.Set) {
	header, frame, control := make([]byte, virtio.HeaderLen), make([]byte, maxFrame), make([]byte, 256)
	for {
		n, nc := 0, 0
		err := tags.Read(func(fd uintptr) bool {
			var err error
			n, nc, _, _, err = unix.RecvmsgBuffers(int(fd), [][]byte{header, frame}, control, 0)
			return err != unix.EAGAIN
		})
		if err != nil {
			return
		}
		if n <= virtio.HeaderLen+wire.EthernetLen {
			continue // the device is down: the socket's error has been taken with this
		}
		p := pkt.New()
		p.Tag = tagOf(control[:nc])
		if !p.AddBytes(frame[:n-virtio.HeaderLen]) || !virtio.Parse(header, p, wire.EthernetLen) {
			p.Free()
			continue
		}
		p.Hash, p.Rx = wire.PacketHash(frame[wire.EthernetLen:n-virtio.HeaderLen]), rx
		b.Put(p)
		b.Run()
	}
}

// tagOf is the tag that a struct tpacket_auxdata tells (packet(7), PACKET_AUXDATA).
func tagOf(control []byte) (tag pkt.Tag) {
	const valid, tci, tpid, size = unix.TP_STATUS_VLAN_VALID | unix.TP_STATUS_VLAN_TPID_VALID, 16, 18, 20
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return tag
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= size &&
			binary.NativeEndian.Uint32(m.Data)&valid == valid {
			tag = pkt.Tag{Type: binary.NativeEndian.Uint16(m.Data[tpid:]), TCI: binary.NativeEndian.Uint16(m.Data[tci:])}
		}
	}
	return tag
}

// onlyTagged has a socket get frames with tags alone, or without; it tells them besides.
func onlyTagged(fd int, tagged bool) error {
	const present = 0xfffff000 + 48 // SKF_AD_OFF + SKF_AD_VLAN_TAG_PRESENT
	// How many instructions are left out: the one that drops, or none.
	with, without := uint8(0), uint8(1)
	if tagged {
		with, without = without, with
	}
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: present},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: without, Jf: with},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
		{Code: unix.BPF_RET | unix.BPF_K, K: 1 << 18},
	}
	err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err == nil && tagged {
		err = unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1)
	}
	return err
}
