package syscalls

import (
	"io"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/netstack/pkt"
	"casemate/sentry/clock"
	"casemate/sentry/kernel"
	"casemate/sentry/socket"
	"casemate/vfs"
	"casemate/vfs/pipe"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// copyBuffer is the size of the pieces in which sendfile(2) and copy_file_range(2)
// move data.
const copyBuffer = 64 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// An end is a file from or to which data is moved: at off, or at its position.
type end struct {
	f   *vfs.File
	off int64 // noOffset for the position
	ctx *vfs.Context
	seq *usermem.Seq
}

func (e *end) read(p []byte) (int, error) {
	*e.seq = usermem.Kernel(p)
	if e.off == noOffset {
		return e.f.Read(e.ctx, e.seq, 0)
	}
	n, err := e.f.Pread(e.ctx, e.seq, e.off, 0)
	e.off += int64(n)
	return n, err
}

func (e *end) write(p []byte) (int, error) {
	*e.seq = usermem.Kernel(p)
	if e.off == noOffset {
		return e.f.Write(e.ctx, e.seq, 0)
	}
	n, err := e.f.Pwrite(e.ctx, e.seq, e.off, 0)
	e.off += int64(n)
	return n, err
}

// writeAll writes all of p, waiting for room unless nonblock; it returns how much
// it has written.
func (e *end) writeAll(t *kernel.Task, p []byte, nonblock bool) (int, error) {
	done := 0
	for done < len(p) {
		n, err := e.write(p[done:])
		if err == unix.EAGAIN && !nonblock && !e.f.Nonblocking() {
			n, err = waitFile(t, e.f, wait.Writable, 0, func() (int, error) { return e.write(p[done:]) })
		}
		if err != nil || n == 0 {
			return done, err
		}
		done += n
	}
	return done, nil
}

// seekBack moves the position of a file that was read further than was used.
func (e *end) seekBack(n int) {
	if n == 0 {
		return
	}
	if e.off != noOffset {
		e.off -= int64(n)
	} else if !e.f.Stream() {
		e.f.Seek(e.ctx, -int64(n), unix.SEEK_CUR)
	}
}

// copyFile moves up to n bytes from one file to another.
func copyFile(t *kernel.Task, from, to *end, n uint64) (uint64, error) {
	buf := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buf)
	total := uint64(0)
	for n > 0 {
		piece := buf[:min(n, copyBuffer)]
		got, err := from.read(piece)
		if err == unix.EAGAIN && total == 0 && !from.f.Nonblocking() {
			got, err = waitFile(t, from.f, wait.Readable, 0, func() (int, error) { return from.read(piece) })
		}
		if err != nil || got == 0 {
			if total > 0 {
				return total, nil
			}
			return 0, err
		}
		put, err := to.writeAll(t, piece[:got], false)
		total += uint64(put)
		n -= uint64(put)
		from.seekBack(got - put)
		if err != nil || put < got {
			return cutShort(t, total, err)
		}
		if t.Interrupted() {
			return total, nil
		}
	}
	return total, nil
}

// cutShort is what a call returns that has moved total bytes, and no more because of err.
func cutShort(t *kernel.Task, total uint64, err error) (uint64, error) {
	if err == unix.EPIPE {
		t.SignalSelf(unix.SIGPIPE)
	}
	if total > 0 {
		return total, nil
	}
	return 0, err
}

// A fileReader is a file as the reader that a socket.Sender takes.
type fileReader struct {
	*end
	got int   // bytes that it has given for a call of SendFrom
	err error // of the last Read
}

// Read implements io.Reader.
func (r *fileReader) Read(p []byte) (n int, err error) {
	n, err = r.read(p)
	if n == 0 && err == nil {
		err = io.EOF
	}
	r.got += n
	r.err = err
	return n, err
}

// Lend implements pkt.Lender.
func (r *fileReader) Lend(n int) (pkt.Frag, bool) {
	f, ok := r.f.Lend(r.ctx, r.off, n)
	if r.off != noOffset {
		r.off += int64(f.Len)
	}
	r.got += int(f.Len)
	r.err = nil
	return f, ok
}

// sendFile moves up to n bytes from a regular file to a socket. EOPNOTSUPP if the socket
// cannot do that; nothing has been read then.
func sendFile(t *kernel.Task, from, to *end, n uint64) (uint64, error) {
	s, ok := to.f.Ops().(socket.Sender)
	if !ok || !from.f.Inode().IsRegular() {
		return 0, unix.EOPNOTSUPP
	}
	r := fileReader{end: from}
	total := uint64(0)
	send := func() (int, error) {
		put, err := s.SendFrom(to.ctx, &r, int(n-total))
		r.seekBack(r.got - put)
		r.got = 0
		return put, err
	}
	for total < n {
		put, err := send()
		if err == unix.EAGAIN && r.err == nil && !to.f.Nonblocking() {
			put, err = waitFile(t, to.f, wait.Writable, 0, send)
		}
		total += uint64(put)
		if r.err == io.EOF {
			return total, nil
		}
		if err != nil || put == 0 {
			return cutShort(t, total, err)
		}
		if t.Interrupted() {
			break
		}
	}
	return total, nil
}

// newEnd returns the end at a descriptor. addr is where its offset is, 0 for the
// position.
func newEnd(t *kernel.Task, fd int32, addr uint64) (*end, error) {
	f, err := getFile(t, fd)
	if err != nil {
		return nil, err
	}
	e := &end{f: f, off: noOffset, ctx: t.FSContext(), seq: new(usermem.Seq)}
	if addr != 0 {
		off, err := getUint64(t, addr)
		if err == nil && int64(off) < 0 {
			err = unix.EINVAL
		}
		if err != nil {
			f.DecRef()
			return nil, err
		}
		e.off = int64(off)
	}
	return e, nil
}

// putOffset writes the offset back to where it came from.
func (e *end) putOffset(t *kernel.Task, addr uint64) error {
	if addr == 0 {
		return nil
	}
	return putUint64(t, addr, uint64(e.off))
}

// sysSendfile is sendfile(2).
func sysSendfile(t *kernel.Task, a kernel.Args) (uint64, error) {
	from, err := newEnd(t, a.Int(1), a.Ptr(2))
	if err != nil {
		return 0, err
	}
	defer from.f.DecRef()
	to, err := newEnd(t, a.Int(0), 0)
	if err != nil {
		return 0, err
	}
	defer to.f.DecRef()
	if !from.f.Readable() || !to.f.Writable() {
		return 0, unix.EBADF
	}
	if from.off != noOffset && from.f.Stream() {
		return 0, unix.ESPIPE
	}
	if to.f.Flags()&unix.O_APPEND != 0 || pipe.Of(from.f) != nil {
		return 0, unix.EINVAL
	}
	if int64(a.Size(3)) < 0 {
		return 0, unix.EINVAL
	}
	length := min(a.Size(3), usermem.MaxRW)
	n, err := sendFile(t, from, to, length)
	if err == unix.EOPNOTSUPP {
		n, err = copyFile(t, from, to, length)
	}
	if err != nil {
		return 0, fileError(t, err)
	}
	return n, from.putOffset(t, a.Ptr(2))
}

// sysCopyFileRange is copy_file_range(2).
func sysCopyFileRange(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(5) != 0 {
		return 0, unix.EINVAL
	}
	from, err := newEnd(t, a.Int(0), a.Ptr(1))
	if err != nil {
		return 0, err
	}
	defer from.f.DecRef()
	to, err := newEnd(t, a.Int(2), a.Ptr(3))
	if err != nil {
		return 0, err
	}
	defer to.f.DecRef()
	for _, f := range []*vfs.File{from.f, to.f} {
		if f.Inode().IsDir() {
			return 0, unix.EISDIR
		}
		if !f.Inode().IsRegular() {
			return 0, unix.EINVAL
		}
	}
	if !from.f.Readable() || !to.f.Writable() || to.f.Flags()&unix.O_APPEND != 0 {
		return 0, unix.EBADF
	}
	n := min(a.Size(4), usermem.MaxRW)
	start, dest := from.off, to.off
	if start == noOffset {
		start = from.f.Pos()
	}
	if dest == noOffset {
		dest = to.f.Pos()
	}
	if start+int64(n) < 0 || dest+int64(n) < 0 {
		return 0, unix.EOVERFLOW
	}
	if from.f.Inode() == to.f.Inode() && start < dest+int64(n) && dest < start+int64(n) {
		return 0, unix.EINVAL
	}
	n, err = copyFile(t, from, to, n)
	if err != nil {
		return 0, fileError(t, err)
	}
	if err := from.putOffset(t, a.Ptr(1)); err != nil {
		return 0, err
	}
	return n, to.putOffset(t, a.Ptr(3))
}

// knownSplice are the flags of splice(2), tee(2) and vmsplice(2).
const knownSplice = unix.SPLICE_F_MOVE | unix.SPLICE_F_NONBLOCK | unix.SPLICE_F_MORE | unix.SPLICE_F_GIFT

// spliceable reports whether splice(2) moves data from or to f: not if that is a directory, or an
// eventfd(2), a timer, or whatever else has no type of its own.
func spliceable(f *vfs.File) bool { return !f.Inode().IsDir() && f.Inode().Type() != 0 }

// sysSplice is splice(2).
func sysSplice(t *kernel.Task, a kernel.Args) (uint64, error) {
	n, flags := min(a.Size(4), usermem.MaxRW), a.Uint(5)
	if flags&^knownSplice != 0 {
		return 0, unix.EINVAL
	}
	if n == 0 {
		return 0, nil
	}
	from, err := newEnd(t, a.Int(0), a.Ptr(1))
	if err != nil {
		return 0, err
	}
	defer from.f.DecRef()
	to, err := newEnd(t, a.Int(2), a.Ptr(3))
	if err != nil {
		return 0, err
	}
	defer to.f.DecRef()
	if !from.f.Readable() || !to.f.Writable() {
		return 0, unix.EBADF
	}
	source, sink := pipe.Of(from.f), pipe.Of(to.f)
	if source != nil && from.off != noOffset || sink != nil && to.off != noOffset {
		return 0, unix.ESPIPE
	}
	nonblock := flags&unix.SPLICE_F_NONBLOCK != 0
	var got int
	switch {
	case source != nil && sink != nil:
		if source == sink {
			return 0, unix.EINVAL
		}
		got, err = splicePipes(t, from, to, source, sink, n, nonblock)
	case source != nil:
		if to.f.Flags()&unix.O_APPEND != 0 {
			return 0, unix.EINVAL
		}
		if to.off != noOffset && to.f.Stream() || !spliceable(to.f) {
			return 0, unix.EINVAL
		}
		got, err = retry(t, from.f, wait.Readable, nonblock, func() (int, error) { return source.Drain(n, to.write) })
		if err == unix.EAGAIN && !nonblock && !to.f.Nonblocking() {
			got, err = retry(t, to.f, wait.Writable, false, func() (int, error) { return source.Drain(n, to.write) })
		}
	case sink != nil:
		if from.off != noOffset && from.f.Stream() || !spliceable(from.f) {
			return 0, unix.EINVAL
		}
		got, err = spliceIn(t, from, to, sink, n, nonblock)
	default:
		return 0, unix.EINVAL
	}
	if err != nil {
		if err == unix.EPIPE {
			t.SignalSelf(unix.SIGPIPE)
		}
		return 0, fileError(t, err)
	}
	if err := from.putOffset(t, a.Ptr(1)); err != nil {
		return 0, err
	}
	return uint64(got), to.putOffset(t, a.Ptr(3))
}

// retry calls try, and waits for f while that gives EAGAIN, unless nonblock.
func retry(t *kernel.Task, f *vfs.File, events wait.Events, nonblock bool, try func() (int, error)) (int, error) {
	n, err := try()
	if err == unix.EAGAIN && !nonblock {
		n, err = waitFile(t, f, events, 0, try)
	}
	return n, err
}

// spliceIn moves data from a file to a pipe. It waits for room in the pipe, then
// for data.
func spliceIn(t *kernel.Task, from, to *end, sink *pipe.Pipe, n uint64, nonblock bool) (int, error) {
	for {
		source := false
		try := func() (int, error) {
			return sink.Fill(n, func(dst []byte) (int, error) {
				k, err := from.read(dst)
				source = err == unix.EAGAIN
				return k, err
			})
		}
		got, err := try()
		if err != unix.EAGAIN || nonblock {
			return got, err
		}
		if source {
			if from.f.Nonblocking() {
				return 0, unix.EAGAIN
			}
			if err := waitReady(t, from.f, wait.Readable); err != nil {
				return 0, err
			}
		} else if err := waitReady(t, to.f, wait.Writable); err != nil {
			return 0, err
		}
	}
}

// waitReady waits until one of events holds for f.
func waitReady(t *kernel.Task, f *vfs.File, events wait.Events) error {
	e := t.WaitEntry()
	f.Ops().Register(e, events)
	defer f.Ops().Unregister(e)
	for f.Readiness(events) == 0 {
		if err := t.Block(clock.Never); err != nil {
			return err
		}
	}
	return nil
}

// splicePipes moves data from one pipe to another.
func splicePipes(t *kernel.Task, from, to *end, source, sink *pipe.Pipe, n uint64, nonblock bool) (int, error) {
	for {
		got, err := pipe.Move(source, sink, n)
		if err != unix.EAGAIN || nonblock {
			return got, err
		}
		if from.f.Readiness(wait.Readable) == 0 {
			err = waitReady(t, from.f, wait.Readable)
		} else {
			err = waitReady(t, to.f, wait.Writable)
		}
		if err != nil {
			return 0, err
		}
	}
}

// sysTee is tee(2).
func sysTee(t *kernel.Task, a kernel.Args) (uint64, error) {
	n, flags := min(a.Size(2), usermem.MaxRW), a.Uint(3)
	if flags&^knownSplice != 0 {
		return 0, unix.EINVAL
	}
	if n == 0 {
		return 0, nil
	}
	from, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer from.DecRef()
	to, err := getFile(t, a.Int(1))
	if err != nil {
		return 0, err
	}
	defer to.DecRef()
	source, sink := pipe.Of(from), pipe.Of(to)
	if source == nil || sink == nil {
		return 0, unix.EINVAL
	}
	if !from.Readable() || !to.Writable() {
		return 0, unix.EBADF
	}
	for {
		got, err := pipe.Tee(source, sink, n)
		if err == unix.EPIPE {
			t.SignalSelf(unix.SIGPIPE)
		}
		if err != unix.EAGAIN || flags&unix.SPLICE_F_NONBLOCK != 0 {
			return uint64(got), err
		}
		if from.Readiness(wait.Readable) == 0 {
			err = waitReady(t, from, wait.Readable)
		} else {
			err = waitReady(t, to, wait.Writable)
		}
		if err != nil {
			return 0, err
		}
	}
}

// sysVmsplice is vmsplice(2). The pages are copied.
func sysVmsplice(t *kernel.Task, a kernel.Args) (uint64, error) {
	flags := a.Uint(3)
	if flags&^knownSplice != 0 {
		return 0, unix.EINVAL
	}
	f, err := getFile(t, a.Int(0))
	if err != nil {
		return 0, err
	}
	defer f.DecRef()
	p := pipe.Of(f)
	if p == nil {
		return 0, unix.EBADF
	}
	if err := setVector(t, a.Ptr(1), a.Size(2)); err != nil {
		return 0, err
	}
	seq := &t.FSContext().Seq
	if seq.Len() == 0 {
		return 0, nil
	}
	nonblock := flags&unix.SPLICE_F_NONBLOCK != 0
	var n int
	if f.Writable() {
		n, err = retry(t, f, wait.Writable, nonblock, func() (int, error) { return p.FillFrom(seq) })
		if err == unix.EPIPE {
			t.SignalSelf(unix.SIGPIPE)
		}
	} else {
		n, err = retry(t, f, wait.Readable, nonblock, func() (int, error) { return p.DrainTo(seq) })
	}
	return uint64(n), err
}
