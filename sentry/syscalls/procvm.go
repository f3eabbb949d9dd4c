package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs/usermem"
)

// maxIovecs is UIO_MAXIOV.
const maxIovecs = 1024

// procRanges reads an iovec array of process_vm_readv(2). EINVAL, EFAULT.
func procRanges(t *kernel.Task, addr, n uint64) ([]usermem.Range, error) {
	if n > maxIovecs {
		return nil, unix.EINVAL
	}
	b := make([]byte, 16*n)
	if err := copyIn(t, addr, b); err != nil {
		return nil, err
	}
	list := make([]usermem.Range, n)
	for i := range list {
		list[i] = usermem.Range{Addr: le.Uint64(b[16*i:]), Length: le.Uint64(b[16*i+8:])}
		if int64(list[i].Length) < 0 {
			return nil, unix.EINVAL
		}
	}
	return list, nil
}

// processVM copies between the caller's memory and that of process pid.
func processVM(t *kernel.Task, a kernel.Args, write bool) (uint64, error) {
	if a.Size(5) != 0 {
		return 0, unix.EINVAL
	}
	local, err := procRanges(t, a.Ptr(1), a.Size(2))
	if err != nil {
		return 0, err
	}
	remote, err := procRanges(t, a.Ptr(3), a.Size(4))
	if err != nil {
		return 0, err
	}
	mine := usermem.Vector(t.Memory(), local)
	if mine.Len() == 0 {
		return 0, nil
	}
	o, err := t.FindTask(a.Int(0))
	if err != nil {
		return 0, err
	}
	if err := t.MayPtrace(o); err != nil {
		return 0, err
	}
	m := o.MM()
	if m == nil || !m.TryIncUsers() {
		return 0, unix.ESRCH
	}
	defer m.DecUsers()
	theirs := usermem.Vector(m.ForContext(nil), remote)
	from, to := &theirs, &mine
	if write {
		from, to = &mine, &theirs
	}
	var buf [4096]byte
	total := uint64(0)
	for from.Len() > 0 && to.Len() > 0 {
		p := buf[:min(uint64(len(buf)), from.Len(), to.Len())]
		n, err := from.CopyIn(p)
		if n > 0 {
			var out error
			n, out = to.CopyOut(p[:n])
			if err == nil {
				err = out
			}
		}
		total += uint64(n)
		if err != nil {
			if total > 0 {
				break
			}
			return 0, err
		}
	}
	return total, nil
}

// sysProcessVmReadv is process_vm_readv(2).
func sysProcessVmReadv(t *kernel.Task, a kernel.Args) (uint64, error) { return processVM(t, a, false) }

// sysProcessVmWritev is process_vm_writev(2).
func sysProcessVmWritev(t *kernel.Task, a kernel.Args) (uint64, error) { return processVM(t, a, true) }
