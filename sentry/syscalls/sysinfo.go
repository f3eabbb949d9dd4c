package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs/usermem"
)

// utsLen is the size of a field of struct utsname, __NEW_UTS_LEN + 1.
const utsLen = 65

// What uname(2) says of the kernel. The release is that of the newest Linux whose
// system calls the table has.
const (
	utsSysname = "Linux"
	utsRelease = "6.18.0-casemate"
	utsVersion = "#1 SMP PREEMPT_DYNAMIC Casemate"
)

// What personality(2) changes about uname(2).
const (
	perLinux32   = 8
	uname26      = 0x0020000
	utsRelease26 = "2.6.78-casemate"
)

// sysUname is uname(2).
func sysUname(t *kernel.Task, a kernel.Args) (uint64, error) {
	host, domain := t.Namespaces().UTS.Names()
	var b [6 * utsLen]byte
	machine, release := kernel.Machine, utsRelease
	p := t.Personality()
	if p&0xff == perLinux32 {
		machine = kernel.Machine32
	}
	if p&uname26 != 0 {
		release = utsRelease26
	}
	for i, s := range [...]string{utsSysname, host, release, utsVersion, machine, domain} {
		copy(b[i*utsLen:(i+1)*utsLen-1], s)
	}
	return 0, copyOut(t, a.Ptr(0), b[:])
}

// utsName reads the name that sethostname(2) or setdomainname(2) sets.
func utsName(t *kernel.Task, a kernel.Args) (string, error) {
	ns := t.Namespaces().UTS
	if !t.Credentials().HasCapIn(unix.CAP_SYS_ADMIN, ns.UserNS) {
		return "", unix.EPERM
	}
	n := a.Int(1)
	if n < 0 || n >= utsLen {
		return "", unix.EINVAL
	}
	b := make([]byte, n)
	if err := copyIn(t, a.Ptr(0), b); err != nil {
		return "", err
	}
	for i, c := range b {
		if c == 0 {
			b = b[:i]
			break
		}
	}
	return string(b), nil
}

// sysSethostname is sethostname(2).
func sysSethostname(t *kernel.Task, a kernel.Args) (uint64, error) {
	name, err := utsName(t, a)
	if err == nil {
		t.Namespaces().UTS.SetHost(name)
	}
	return 0, err
}

// sysSetdomainname is setdomainname(2).
func sysSetdomainname(t *kernel.Task, a kernel.Args) (uint64, error) {
	name, err := utsName(t, a)
	if err == nil {
		t.Namespaces().UTS.SetDomain(name)
	}
	return 0, err
}

// sysSysinfo is sysinfo(2).
func sysSysinfo(t *kernel.Task, a kernel.Args) (uint64, error) {
	k := t.Kernel()
	var b [112]byte
	le.PutUint64(b[0:], uint64(k.Uptime()/1e9))
	g := t.ThreadGroup().Cgroup()
	total := g.TotalMemory()
	free := total - min(g.MemoryInUse(), total)
	le.PutUint64(b[32:], total)
	le.PutUint64(b[40:], free)
	le.PutUint16(b[80:], uint16(min(k.NumTasks(), 0xffff)))
	le.PutUint32(b[104:], 1)
	return 0, copyOut(t, a.Ptr(0), b[:])
}

// sysGetrandom is getrandom(2).
func sysGetrandom(t *kernel.Task, a kernel.Args) (uint64, error) {
	const known = unix.GRND_NONBLOCK | unix.GRND_RANDOM | unix.GRND_INSECURE
	flags := a.Uint(2)
	if flags&^known != 0 || flags&(unix.GRND_RANDOM|unix.GRND_INSECURE) == unix.GRND_RANDOM|unix.GRND_INSECURE {
		return 0, unix.EINVAL
	}
	seq := usermem.Single(t.Memory(), a.Ptr(0), a.Size(1))
	var buf [256]byte
	total := 0
	for seq.Len() > 0 {
		p := buf[:min(seq.Len(), uint64(len(buf)))]
		if _, err := unix.Getrandom(p, 0); err != nil {
			return 0, err
		}
		n, err := seq.CopyOut(p)
		total += n
		if err != nil {
			if total > 0 {
				break
			}
			return 0, err
		}
		if t.Interrupted() && total >= len(buf) {
			break
		}
	}
	return uint64(total), nil
}

// sysGetcpu is getcpu(2). All CPUs are on one node.
func sysGetcpu(t *kernel.Task, a kernel.Args) (uint64, error) {
	if addr := a.Ptr(0); addr != 0 {
		if err := putUint32(t, addr, uint32(t.CPU())); err != nil {
			return 0, err
		}
	}
	if addr := a.Ptr(1); addr != 0 {
		return 0, putUint32(t, addr, 0)
	}
	return 0, nil
}

// sysMembarrier is membarrier(2).
func sysMembarrier(t *kernel.Task, a kernel.Args) (uint64, error) {
	if a.Uint(1) != 0 {
		return 0, unix.EINVAL
	}
	return t.Membarrier(a.Int(0))
}
