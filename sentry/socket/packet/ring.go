package packet

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/afpacket"
	"casemate/netstack/pkt"
	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/usermem"
)

// Layout of a frame of the ring (linux/if_packet.h, TPACKET_V2): struct tpacket2_hdr, struct
// sockaddr_ll, room for a link header or more, the network header.
const (
	statusUser   = 1           // TP_STATUS_USER: the frame is the program's
	statusLosing = 1 << 2      // TP_STATUS_LOSING: frames have been dropped
	statusTag    = 1<<4 | 1<<6 // TP_STATUS_VLAN_VALID, TP_STATUS_VLAN_TPID_VALID
	headerLen    = 32          // of struct tpacket2_hdr
	startLen     = headerLen + addrLen
	linkHeader   = 14
	alignment    = 16 // TPACKET_ALIGNMENT
)

// maxRing is the largest ring in bytes.
const maxRing = 64 << 20

func align(n int) int { return (n + alignment - 1) &^ (alignment - 1) }

// A ring is where frames go that a program reads in its memory.
type ring struct {
	file               *vfs.File // the memory
	ctx                *vfs.Context
	frame, frames      int // size in bytes, number
	block, framesBlock int
	cooked             bool
	reserve            int

	mu     sync.Mutex
	next   int
	losing bool
}

// newRing makes the ring that a struct tpacket_req asks for. EINVAL, ENOMEM.
func newRing(ctx *vfs.Context, p []byte, cooked bool, reserve int) (*ring, error) {
	if len(p) < 16 {
		return nil, unix.EINVAL
	}
	block, blocks, frame, frames := int(ne.Uint32(p)), int(ne.Uint32(p[4:])), int(ne.Uint32(p[8:])), int(ne.Uint32(p[12:]))
	const page = 4096
	switch {
	case block <= 0 || block%page != 0 || block > maxRing || blocks <= 0 || blocks > maxRing/page,
		frame%alignment != 0 || frame < startLen+reserve || frame > block:
		return nil, unix.EINVAL
	case block/frame*blocks != frames:
		return nil, unix.EINVAL
	case block*blocks > maxRing:
		return nil, unix.ENOMEM
	}
	task, ok := ctx.Task.(*kernel.Task)
	if !ok {
		return nil, unix.EINVAL
	}
	file, err := task.Kernel().NewMemfd(ctx, "packet ring", 0o600, false)
	if err != nil {
		return nil, err
	}
	r := &ring{file: file, frame: frame, frames: frames, block: block, framesBlock: block / frame, cooked: cooked, reserve: reserve,
		// Frames come when the task is elsewhere.
		ctx: &vfs.Context{Cred: ctx.Cred, FileSizeLimit: ^uint64(0)}}
	// The last byte gives the file its length.
	if err := r.write([]byte{0}, block*blocks-1); err != nil {
		file.DecRef()
		return nil, err
	}
	return r, nil
}

func (r *ring) write(p []byte, off int) error {
	seq := usermem.Kernel(p)
	n, err := r.file.Ops().Write(r.ctx, r.file, &seq, int64(off), 0)
	if err == nil && n < len(p) {
		err = unix.ENOSPC
	}
	return err
}

// statusOf is what the status of a frame says of its tag.
func statusOf(tag pkt.Tag) uint32 {
	if tag.Type == 0 {
		return 0
	}
	return statusTag
}

// offset is where frame n begins.
func (r *ring) offset(n int) int { return n/r.framesBlock*r.block + n%r.framesBlock*r.frame }

// status reads the status of frame n, which the program may change at any time.
func (r *ring) status(n int) uint32 {
	var b [4]byte
	seq := usermem.Kernel(b[:])
	if got, err := r.file.Ops().Read(r.ctx, r.file, &seq, int64(r.offset(n)), 0); err != nil || got < len(b) {
		return statusUser
	}
	return ne.Uint32(b[:])
}

// readable reports whether the frame that was filled last has not been read.
func (r *ring) readable() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.frames > 0 && r.status((r.next+r.frames-1)%r.frames)&statusUser != 0
}

// take implements afpacket.Sink.
func (r *ring) take(p *pkt.Packet, size int, from afpacket.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.frames == 0 {
		return false // the ring has been given up
	}
	if r.status(r.next) != 0 {
		r.losing = true
		return false
	}
	network := align(startLen+max(linkHeader, 16)) + r.reserve
	data := network
	if !r.cooked {
		data -= linkHeader
	} else {
		network = align(startLen) + 16 + r.reserve
		data = network
	}
	length := min(p.Len(), r.frame-data)
	if length < 0 {
		return false
	}
	buf := make([]byte, data+length)
	p.CopyOut(0, buf[data:])
	ne.PutUint32(buf[4:], uint32(size))
	ne.PutUint32(buf[8:], uint32(length))
	ne.PutUint16(buf[12:], uint16(data))
	ne.PutUint16(buf[14:], uint16(network))
	ne.PutUint32(buf[16:], uint32(p.Time/1e9))
	ne.PutUint32(buf[20:], uint32(p.Time%1e9))
	ne.PutUint16(buf[24:], p.Tag.TCI)
	ne.PutUint16(buf[26:], p.Tag.Type)
	copy(buf[headerLen:], appendAddr(nil, from))
	at := r.offset(r.next)
	if r.write(buf[4:], at+4) != nil {
		return false
	}
	// The status comes last: with it the frame is the program's.
	status := statusUser | statusOf(p.Tag)
	if r.losing {
		status |= statusLosing
	}
	r.losing = false
	ne.PutUint32(buf, status)
	if r.write(buf[:4], at) != nil {
		return false
	}
	r.next = (r.next + 1) % r.frames
	return true
}
