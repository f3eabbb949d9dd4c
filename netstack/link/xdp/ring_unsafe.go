package xdp

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A ring is one of a socket's four rings, mapped. T is a frame's address, uint64, or
// unix.XDPDesc. One side puts elements in, at the producer's index, the other takes them at the
// consumer's; the indices run freely. Only one goroutine uses a ring at a time.
type ring[T uint64 | unix.XDPDesc] struct {
	memory             []byte
	producer, consumer *atomic.Uint32
	flags              *atomic.Uint32
	elements           []T
}

// newRing maps the ring at an offset of a socket (XDP_PGOFF_RX_RING and the like), with size
// elements.
func newRing[T uint64 | unix.XDPDesc](socket int, offset int64, o *unix.XDPRingOffset, size int) (*ring[T], error) {
	var e T
	n := size * int(unsafe.Sizeof(e))
	for _, at := range []uint64{o.Producer, o.Consumer, o.Flags, o.Desc} {
		if at > 1<<16 || at%uint64(unsafe.Alignof(e)) != 0 && at%4 != 0 {
			return nil, unix.EINVAL
		}
	}
	length := max(int(o.Desc)+n, int(max(o.Producer, o.Consumer, o.Flags))+4)
	b, err := unix.Mmap(socket, offset, length, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, err
	}
	index := func(at uint64) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&b[at])) }
	return &ring[T]{memory: b, producer: index(o.Producer), consumer: index(o.Consumer), flags: index(o.Flags),
		elements: unsafe.Slice((*T)(unsafe.Pointer(&b[o.Desc])), size)}, nil
}

func (r *ring[T]) unmap() { unix.Munmap(r.memory) }

// put puts an element in; false if the ring is full.
func (r *ring[T]) put(e T) bool {
	at := r.producer.Load()
	if at-r.consumer.Load() >= uint32(len(r.elements)) {
		return false
	}
	r.elements[at&uint32(len(r.elements)-1)] = e
	r.producer.Store(at + 1)
	return true
}

// take takes an element; false if there is none.
func (r *ring[T]) take() (e T, ok bool) {
	at := r.consumer.Load()
	if at == r.producer.Load() {
		return e, false
	}
	e = r.elements[at&uint32(len(r.elements)-1)]
	r.consumer.Store(at + 1)
	return e, true
}

// sleeps reports whether the kernel looks at the ring only when it is woken up.
func (r *ring[T]) sleeps() bool { return r.flags.Load()&unix.XDP_RING_NEED_WAKEUP != 0 }
