package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
)

// sysPipe is pipe(2).
func sysPipe(t *kernel.Task, a kernel.Args) (uint64, error) { return pipe2(t, a.Ptr(0), 0) }

// sysPipe2 is pipe2(2).
func sysPipe2(t *kernel.Task, a kernel.Args) (uint64, error) { return pipe2(t, a.Ptr(0), a.Uint(1)) }

func pipe2(t *kernel.Task, addr uint64, flags uint32) (uint64, error) {
	if flags&^(unix.O_CLOEXEC|unix.O_NONBLOCK|unix.O_DIRECT) != 0 {
		return 0, unix.EINVAL
	}
	table, limit := t.FDTable(), maxFDs(t)
	rfd, err := table.Reserve(0, limit)
	if err != nil {
		return 0, err
	}
	wfd, err := table.Reserve(0, limit)
	if err != nil {
		table.Unreserve(rfd)
		return 0, err
	}
	b := t.FSContext().Buf[:8]
	le.PutUint32(b, uint32(rfd))
	le.PutUint32(b[4:], uint32(wfd))
	if err := copyOut(t, addr, b); err != nil {
		table.Unreserve(rfd)
		table.Unreserve(wfd)
		return 0, err
	}
	r, w := t.Kernel().Pipes().New(t.FSContext(), flags&(unix.O_NONBLOCK|unix.O_DIRECT))
	cloexec := flags&unix.O_CLOEXEC != 0
	table.Install(rfd, r, cloexec)
	table.Install(wfd, w, cloexec)
	return 0, nil
}
