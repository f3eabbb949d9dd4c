package syscalls

import (
	"sync"

	"golang.org/x/sys/unix"

	"casemate/platform/loan"
	"casemate/sentry/clock"
	"casemate/sentry/epoll"
	"casemate/sentry/kernel"
	"casemate/vfs"
)

// maxEpollEvents is how many events epoll_wait(2) may be asked for.
const maxEpollEvents = 0x7fffffff / epollEventSize

// epollChunk is how many events fit into a buffer of epollBuffers. There are more only in an
// epoll_wait(2) that asks for more, of a file with more interests than that.
const epollChunk = 1024

var epollBuffers = sync.Pool{New: func() any { return new([epollChunk * epollEventSize]byte) }}

// epollCreate makes an epoll file.
func epollCreate(t *kernel.Task, cloexec bool) (uint64, error) {
	return t.AddAnonFile("[eventpoll]", unix.O_RDWR, cloexec, epoll.New())
}

// sysEpollCreate is epoll_create(2).
func sysEpollCreate(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Int(0) <= 0 {
		return 0, unix.EINVAL
	}
	return epollCreate(t, false)
}

// sysEpollCreate1 is epoll_create1(2).
func sysEpollCreate1(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(0)&^unix.EPOLL_CLOEXEC != 0 {
		return 0, unix.EINVAL
	}
	return epollCreate(t, a.Uint(0)&unix.EPOLL_CLOEXEC != 0)
}

// epollOf returns the epoll file of a descriptor with a reference to its File.
// EBADF, EINVAL.
func epollOf(t *kernel.Task, fd int32) (*epoll.File, *vfs.File, error) {
	f := t.FDTable().Get(fd)
	if f == nil {
		return nil, nil, unix.EBADF
	}
	e, ok := f.Ops().(*epoll.File)
	if !ok {
		f.DecRef()
		return nil, nil, unix.EINVAL
	}
	return e, f, nil
}

// sysEpollCtl is epoll_ctl(2).
func sysEpollCtl(t *kernel.Task, a kernel.Args) (uint64, error) {
	op, fd := a.Int(1), a.Int(2)
	var b [epollEventSize]byte
	if op != unix.EPOLL_CTL_DEL {
		if err := copyIn(t, a.Ptr(3), b[:]); err != nil {
			return 0, err
		}
	}
	events, data := le.Uint32(b[0:]), le.Uint64(b[epollEventSize-8:])
	ef := t.FDTable().Get(a.Int(0))
	if ef == nil {
		return 0, unix.EBADF
	}
	defer ef.DecRef()
	f := t.FDTable().Get(fd)
	if f == nil {
		return 0, unix.EBADF
	}
	defer f.DecRef()
	if f.Inode().IsRegular() || f.Inode().IsDir() {
		return 0, unix.EPERM
	}
	e, ok := ef.Ops().(*epoll.File)
	if !ok || f == ef {
		return 0, unix.EINVAL
	}
	e.Use(t.Desk())
	var err error
	switch op {
	case unix.EPOLL_CTL_ADD:
		err = e.Add(f, fd, events, data)
	case unix.EPOLL_CTL_MOD:
		err = e.Modify(f, fd, events, data)
	case unix.EPOLL_CTL_DEL:
		return 0, e.Delete(f, fd)
	default:
		return 0, unix.EINVAL
	}
	if err == nil {
		t.LendInterest(e, a.Int(0), fd, f)
	}
	return 0, err
}

// borrowers are the descriptors of which epoll_wait(2) says that they can be read: the first ones
// may be lent the data.
type borrowers struct {
	n    int
	list [loan.Slots]struct {
		fd   int32
		file *vfs.File
	}
}

func (b *borrowers) add(fd int32, f *vfs.File) {
	if b.n < len(b.list) {
		b.list[b.n].fd, b.list[b.n].file = fd, f
		b.n++
	}
}

// lend lends t the data.
func (b *borrowers) lend(t *kernel.Task) {
	if d := t.Desk(); d != nil && b.n > 0 {
		d.Round()
	}
	for _, x := range b.list[:b.n] {
		t.LendData(x.fd, x.file)
	}
}

// epollWait is epoll_wait(2) with a deadline.
func epollWait(t *kernel.Task, fd int32, addr uint64, n int32, deadline int64) (uint64, error) {
	if n <= 0 || n > maxEpollEvents {
		return 0, unix.EINVAL
	}
	e, f, err := epollOf(t, fd)
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	pooled := epollBuffers.Get().(*[epollChunk * epollEventSize]byte)
	defer epollBuffers.Put(pooled)
	buf, limit := pooled[:], min(int(n), epollChunk)
	if n > epollChunk {
		if limit = min(int(n), max(epollChunk, e.Interests())); limit > epollChunk {
			buf = make([]byte, limit*epollEventSize)
		}
	}
	e.Use(t.Desk())
	count := 0
	var readers borrowers
	put := func(events uint32, data uint64, fd int32, file *vfs.File) {
		b := buf[count*epollEventSize:]
		clear(b[:epollEventSize])
		le.PutUint32(b, events)
		le.PutUint64(b[epollEventSize-8:], data)
		count++
		if events&unix.EPOLLIN != 0 {
			readers.add(fd, file)
		}
	}
	if e.Collect(limit, put); count == 0 && t.SettleLoans() {
		e.Collect(limit, put)
	}
	if count == 0 && (deadline == clock.Never || clock.Monotonic() < deadline) {
		w := t.WaitEntry()
		e.AddWaiter(w)
		defer e.RemoveWaiter(w)
		for {
			if e.Collect(limit, put) > 0 {
				break
			}
			if err := t.Block(deadline); err != nil {
				if e.Collect(limit, put) > 0 || err == unix.ETIMEDOUT {
					break
				}
				return 0, unix.EINTR
			}
		}
	}
	readers.lend(t)
	return uint64(count), copyOut(t, addr, buf[:count*epollEventSize])
}

// epollTimeout is the deadline of a timeout in ms, of which -1 is none.
func epollTimeout(ms int32) int64 {
	if ms < 0 {
		return clock.Never
	}
	return clock.After(int64(ms) * 1e6)
}

// sysEpollWait is epoll_wait(2).
func sysEpollWait(t *kernel.Task, a kernel.Args) (uint64, error) {
	return epollWait(t, a.Int(0), a.Ptr(1), a.Int(2), epollTimeout(a.Int(3)))
}

// sysEpollPwait is epoll_pwait(2).
func sysEpollPwait(t *kernel.Task, a kernel.Args) (uint64, error) {
	return withMask(t, a.Ptr(4), a.Size(5), func() (uint64, error) {
		return epollWait(t, a.Int(0), a.Ptr(1), a.Int(2), epollTimeout(a.Int(3)))
	})
}

// sysEpollPwait2 is epoll_pwait2(2).
func sysEpollPwait2(t *kernel.Task, a kernel.Args) (uint64, error) {
	deadline, err := timeoutDeadline(t, a.Ptr(3))
	if err != nil {
		return 0, err
	}
	return withMask(t, a.Ptr(4), a.Size(5), func() (uint64, error) {
		return epollWait(t, a.Int(0), a.Ptr(1), a.Int(2), deadline)
	})
}
