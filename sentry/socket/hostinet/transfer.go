package hostinet

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// Flags that are the host's to know.
const (
	sendFlags    = unix.MSG_OOB | unix.MSG_DONTROUTE | unix.MSG_EOR | unix.MSG_MORE | unix.MSG_CONFIRM | unix.MSG_FASTOPEN
	receiveFlags = unix.MSG_OOB | unix.MSG_PEEK | unix.MSG_TRUNC | unix.MSG_ERRQUEUE
)

// maxDatagram is the longest datagram in bytes, of netlink as well.
const maxDatagram = 65536

// maxControl is the room for ancillary data that comes.
const maxControl = 512

// A buffer is what a datagram goes through: it must not change between the sentry's look
// and the host's, and is sent and received whole.
type buffer struct {
	msg     hostMessage
	data    [maxDatagram]byte
	addr    [socket.MaxAddr]byte
	control [maxControl]byte
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func getBuffer() *buffer { return buffers.Get().(*buffer) }

func (b *buffer) put() {
	b.msg = hostMessage{}
	buffers.Put(b)
}

// Read implements vfs.FileOps.
func (s *Socket) Read(ctx *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() == 0 {
		return 0, nil
	}
	if s.common.Type != unix.SOCK_STREAM {
		var m socket.Message
		return s.Receive(ctx, dst, &m, 0)
	}
	b := getBuffer()
	defer b.put()
	return s.stream(dst, true, func(blocks [][]byte) (int, error) {
		return hostReceive(s.fd, blocks, &b.msg, unix.MSG_DONTWAIT)
	})
}

// Write implements vfs.FileOps.
func (s *Socket) Write(ctx *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	var m socket.Message
	return s.Send(ctx, src, &m, 0)
}

// stream moves bytes straight between the application's memory and the host.
func (s *Socket) stream(seq *usermem.Seq, write bool, f func(blocks [][]byte) (int, error)) (int, error) {
	n, err := seq.Blocks(write, f)
	if n > 0 {
		return n, nil
	}
	if err == unix.EINTR {
		err = unix.EAGAIN
	}
	return 0, err
}

// Send implements socket.Socket.
func (s *Socket) Send(_ *vfs.Context, src *usermem.Seq, m *socket.Message, flags int) (int, error) {
	b := getBuffer()
	defer b.put()
	b.msg.addr = m.Addr
	var err error
	if b.msg.control, err = s.controlOut(b.control[:0], m); err != nil {
		return 0, err
	}
	flags = flags&sendFlags | unix.MSG_DONTWAIT | unix.MSG_NOSIGNAL
	if s.common.Type == unix.SOCK_STREAM && src.Len() > 0 {
		return s.stream(src, false, func(blocks [][]byte) (int, error) {
			return hostSend(s.fd, blocks, &b.msg, flags)
		})
	}
	if src.Len() > maxDatagram {
		return 0, unix.EMSGSIZE
	}
	n, err := src.CopyIn(b.data[:src.Len()])
	if err != nil {
		return 0, err
	}
	if s.common.Family == unix.AF_NETLINK {
		if err := readOnly(b.data[:n]); err != nil {
			return 0, err
		}
	}
	return hostSend(s.fd, [][]byte{b.data[:n]}, &b.msg, flags)
}

// controlOut appends to p the ancillary data to be sent. EINVAL.
func (s *Socket) controlOut(p []byte, m *socket.Message) ([]byte, error) {
	for _, it := range m.Control.Other {
		switch {
		case it.Level == unix.IPPROTO_IP, it.Level == unix.IPPROTO_IPV6, it.Level == unix.IPPROTO_UDP && it.Type == unix.UDP_SEGMENT:
		case it.Level == unix.SOL_SOCKET && (it.Type == unix.SCM_RIGHTS || it.Type == unix.SCM_CREDENTIALS):
			continue
		default:
			return nil, unix.EINVAL
		}
		if len(p)+unix.CmsgSpace(len(it.Data)) > maxControl {
			return nil, unix.ENOBUFS
		}
		p = appendItem(p, it)
	}
	return p, nil
}

// Receive implements socket.Socket.
func (s *Socket) Receive(_ *vfs.Context, dst *usermem.Seq, m *socket.Message, flags int) (int, error) {
	b := getBuffer()
	defer b.put()
	b.msg.addr, b.msg.control = b.addr[:], b.control[:]
	want := flags
	flags = flags&receiveFlags | unix.MSG_DONTWAIT
	var n int
	var err error
	if s.common.Type == unix.SOCK_STREAM && flags&unix.MSG_TRUNC == 0 && dst.Len() > 0 {
		n, err = s.stream(dst, true, func(blocks [][]byte) (int, error) {
			if b.msg.flags != 0 || len(b.msg.addr) < len(b.addr) {
				return 0, nil // the first piece has come; its end is the end
			}
			return hostReceive(s.fd, blocks, &b.msg, flags)
		})
		if err != nil {
			return 0, err
		}
	} else {
		room := min(dst.Len(), maxDatagram)
		if n, err = hostReceive(s.fd, [][]byte{b.data[:room]}, &b.msg, flags); err != nil {
			return 0, err
		}
		if s.common.Type != unix.SOCK_STREAM || want&unix.MSG_TRUNC == 0 {
			if _, err := dst.CopyOut(b.data[:min(n, int(room))]); err != nil {
				return 0, err
			}
		}
	}
	m.Flags |= b.msg.flags &^ (unix.MSG_CMSG_CLOEXEC | unix.MSG_CTRUNC)
	if len(b.msg.addr) > 0 && s.common.Type != unix.SOCK_STREAM {
		m.Addr = append(m.Name[:0], b.msg.addr...)
	}
	items(b.msg.control, m)
	return n, nil
}

// appendItem appends a control message as it is in memory (cmsg(3)).
func appendItem(p []byte, it socket.Item) []byte {
	at := len(p)
	p = append(p, make([]byte, unix.CmsgSpace(len(it.Data)))...)
	ne.PutUint64(p[at:], uint64(unix.CmsgLen(len(it.Data))))
	ne.PutUint32(p[at+8:], uint32(it.Level))
	ne.PutUint32(p[at+12:], uint32(it.Type))
	copy(p[at+unix.SizeofCmsghdr:], it.Data)
	return p
}

// items takes the control messages apart that have come.
func items(p []byte, m *socket.Message) {
	for len(p) >= unix.SizeofCmsghdr {
		length := int(ne.Uint64(p))
		if length < unix.SizeofCmsghdr || length > len(p) {
			return
		}
		it := socket.Item{Level: int32(ne.Uint32(p[8:])), Type: int32(ne.Uint32(p[12:]))}
		it.Data = append(it.Data, p[unix.SizeofCmsghdr:length]...)
		m.Control.Other = append(m.Control.Other, it)
		p = p[min(unix.CmsgSpace(length-unix.SizeofCmsghdr), len(p)):]
	}
}
