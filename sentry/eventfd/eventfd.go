// Package eventfd is the files of eventfd(2).
package eventfd

import (
	"encoding/binary"
	"fmt"
	"sync"

	"golang.org/x/sys/unix"

	"casemate/vfs"
	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

// maxCount is the largest value that a counter can have.
const maxCount = 1<<64 - 2

// A File is a counter.
type File struct {
	vfs.FileDefaults
	semaphore bool

	mu    sync.Mutex
	count uint64
	queue wait.Queue
}

// New returns a counter that starts at count. semaphore is EFD_SEMAPHORE.
func New(count uint64, semaphore bool) *File { return &File{count: count, semaphore: semaphore} }

// Read implements vfs.FileOps.
func (e *File) Read(_ *vfs.Context, _ *vfs.File, dst *usermem.Seq, _ int64, _ uint32) (int, error) {
	if dst.Len() < 8 {
		return 0, unix.EINVAL
	}
	e.mu.Lock()
	n := e.count
	if e.semaphore {
		n = min(n, 1)
	}
	e.count -= n
	e.mu.Unlock()
	if n == 0 {
		return 0, unix.EAGAIN
	}
	e.queue.Notify(wait.Out | wait.WrNorm)
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	return dst.CopyOut(b[:])
}

// Write implements vfs.FileOps.
func (e *File) Write(_ *vfs.Context, _ *vfs.File, src *usermem.Seq, _ int64, _ uint32) (int, error) {
	var b [8]byte
	if src.Len() < 8 {
		return 0, unix.EINVAL
	}
	// The caller retries after EAGAIN: the source must not be consumed then.
	peek := *src
	if _, err := peek.CopyIn(b[:]); err != nil {
		return 0, err
	}
	n := binary.LittleEndian.Uint64(b[:])
	if n > maxCount {
		return 0, unix.EINVAL
	}
	e.mu.Lock()
	if n > maxCount-e.count {
		e.mu.Unlock()
		return 0, unix.EAGAIN
	}
	e.count += n
	e.mu.Unlock()
	if n > 0 {
		e.queue.Notify(wait.In | wait.RdNorm)
	}
	*src = peek
	return 8, nil
}

// Signal adds n for the kernel (asynchronous I/O); a full counter stays full.
func (e *File) Signal(n uint64) {
	e.mu.Lock()
	e.count += min(n, maxCount+1-e.count)
	e.mu.Unlock()
	e.queue.Notify(wait.In | wait.RdNorm)
}

// Readiness implements vfs.FileOps.
func (e *File) Readiness(mask wait.Events) wait.Events {
	e.mu.Lock()
	defer e.mu.Unlock()
	var r wait.Events
	if e.count > 0 {
		r |= wait.In | wait.RdNorm
	}
	if e.count < maxCount {
		r |= wait.Out | wait.WrNorm
	}
	if e.count > maxCount {
		r |= wait.Err
	}
	return r & (mask | wait.Err)
}

// Register implements vfs.FileOps.
func (e *File) Register(w *wait.Entry, mask wait.Events) { e.queue.Register(w, mask) }

// Unregister implements vfs.FileOps.
func (e *File) Unregister(w *wait.Entry) { e.queue.Unregister(w) }

// FDInfo is what /proc/PID/fdinfo adds for the file.
func (e *File) FDInfo() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("eventfd-count: %16x\n", e.count)
}
