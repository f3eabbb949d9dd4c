package syscalls

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs/cred"
)

// Options of prctl(2) that package unix lacks.
const (
	prSetVMA         = 0x53564d41
	prSetVMAAnonName = 0
	prGetAuxv        = 0x41555856
)

// sysPrctl is prctl(2).
func sysPrctl(t *kernel.Task, a kernel.Args) (uint64, error) {
	tg := t.ThreadGroup()
	arg := a.Size(1)
	switch a.Int(0) {
	case unix.PR_SET_PDEATHSIG:
		if arg > kernel.NumSignals {
			return 0, unix.EINVAL
		}
		t.SetDeathSignal(int32(arg))
		return 0, nil
	case unix.PR_GET_PDEATHSIG:
		return 0, putUint32(t, arg, uint32(t.DeathSignal()))
	case unix.PR_GET_DUMPABLE:
		return uint64(tg.Dumpable()), nil
	case unix.PR_SET_DUMPABLE:
		if arg != kernel.DumpableNone && arg != kernel.DumpableUser {
			return 0, unix.EINVAL
		}
		tg.SetDumpable(int(arg))
		return 0, nil
	case unix.PR_SET_NAME:
		var b [16]byte
		n, err := t.Memory().CopyIn(b[:15], arg)
		for i, c := range b[:n] {
			if c == 0 {
				n, err = i, nil
				break
			}
		}
		if err != nil {
			return 0, err
		}
		t.SetComm(string(b[:n]))
		return 0, nil
	case unix.PR_GET_NAME:
		var b [16]byte
		copy(b[:15], t.Comm())
		return 0, copyOut(t, arg, b[:])
	case unix.PR_SET_CHILD_SUBREAPER:
		tg.SetSubreaper(arg != 0)
		return 0, nil
	case unix.PR_GET_CHILD_SUBREAPER:
		v := uint32(0)
		if tg.Subreaper() {
			v = 1
		}
		return 0, putUint32(t, arg, v)
	case unix.PR_SET_NO_NEW_PRIVS:
		if arg != 1 || a[2]|a[3]|a[4] != 0 {
			return 0, unix.EINVAL
		}
		t.SetNoNewPrivs()
		return 0, nil
	case unix.PR_GET_NO_NEW_PRIVS:
		if arg|a[2]|a[3]|a[4] != 0 {
			return 0, unix.EINVAL
		}
		if t.NoNewPrivs() {
			return 1, nil
		}
		return 0, nil
	case unix.PR_SET_TIMERSLACK:
		t.SetTimerSlack(arg)
		return 0, nil
	case unix.PR_GET_TIMERSLACK:
		return t.TimerSlack(), nil
	case unix.PR_SET_TIMING:
		if arg != unix.PR_TIMING_STATISTICAL {
			return 0, unix.EINVAL
		}
		return 0, nil
	case unix.PR_GET_TIMING:
		return unix.PR_TIMING_STATISTICAL, nil
	case unix.PR_GET_SECCOMP:
		return uint64(t.SeccompMode()), nil
	case unix.PR_SET_SECCOMP:
		switch arg {
		case unix.SECCOMP_MODE_STRICT:
			return 0, t.SetSeccompStrict()
		case unix.SECCOMP_MODE_FILTER:
			return addFilter(t, 0, a.Ptr(2))
		}
		return 0, unix.EINVAL
	case unix.PR_GET_TSC:
		return 0, putUint32(t, arg, unix.PR_TSC_ENABLE)
	case unix.PR_SET_TSC:
		if arg != unix.PR_TSC_ENABLE {
			return 0, unix.EINVAL
		}
		return 0, nil
	case unix.PR_GET_TID_ADDRESS:
		return 0, putUint64(t, arg, t.ClearTID())
	case unix.PR_SET_THP_DISABLE:
		if a[2]|a[3]|a[4] != 0 {
			return 0, unix.EINVAL
		}
		tg.SetTHPDisabled(arg != 0)
		return 0, nil
	case unix.PR_GET_THP_DISABLE:
		if arg|a[2]|a[3]|a[4] != 0 {
			return 0, unix.EINVAL
		}
		if tg.THPDisabled() {
			return 1, nil
		}
		return 0, nil
	case prSetVMA:
		if arg != prSetVMAAnonName {
			return 0, unix.EINVAL
		}
		name := ""
		if p := a.Ptr(4); p != 0 {
			var err error
			if name, err = t.Memory().CopyInString(p, 80); err != nil {
				if err == unix.ENAMETOOLONG {
					err = unix.EINVAL
				}
				return 0, err
			}
			for i := range len(name) {
				if c := name[i]; c < 0x20 || c > 0x7e || c == '\\' || c == '`' || c == '$' || c == '[' || c == ']' {
					return 0, unix.EINVAL
				}
			}
		}
		return 0, t.MM().SetAnonName(a.Ptr(2), a.Size(3), name)
	case prGetAuxv:
		image := t.Image()
		if image == nil || a[3]|a[4] != 0 {
			return 0, unix.EINVAL
		}
		n := min(uint64(len(image.Auxv)), a.Size(2))
		return uint64(len(image.Auxv)), copyOut(t, arg, image.Auxv[:n])
	}
	return prctlCaps(t, a)
}

// prctlCaps serves the options of prctl(2) that concern capabilities.
func prctlCaps(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Credentials()
	arg := a.Size(1)
	flag := func(b bool) (uint64, error) {
		if b {
			return 1, nil
		}
		return 0, nil
	}
	switch a.Int(0) {
	case unix.PR_CAPBSET_READ:
		if arg > uint64(cred.LastCap) {
			return 0, unix.EINVAL
		}
		return flag(old.Bounding.Has(cred.Capability(arg)))
	case unix.PR_CAPBSET_DROP:
		if !old.HasCap(unix.CAP_SETPCAP) {
			return 0, unix.EPERM
		}
		if arg > uint64(cred.LastCap) {
			return 0, unix.EINVAL
		}
		c := old.Clone()
		c.Bounding &^= 1 << arg
		t.SetCredentials(c)
		return 0, nil
	case unix.PR_GET_SECUREBITS:
		return uint64(old.Securebits), nil
	case unix.PR_SET_SECUREBITS:
		return 0, setSecurebits(t, old, arg)
	case unix.PR_GET_KEEPCAPS:
		return flag(old.Securebits&cred.SecbitKeepCaps != 0)
	case unix.PR_SET_KEEPCAPS:
		if arg > 1 {
			return 0, unix.EINVAL
		}
		if old.Securebits&cred.SecbitKeepCapsLocked != 0 {
			return 0, unix.EPERM
		}
		c := old.Clone()
		c.Securebits &^= cred.SecbitKeepCaps
		if arg == 1 {
			c.Securebits |= cred.SecbitKeepCaps
		}
		t.SetCredentials(c)
		return 0, nil
	case unix.PR_CAP_AMBIENT:
		return prctlAmbient(t, old, a)
	}
	return 0, unix.EINVAL
}

func setSecurebits(t *kernel.Task, old *cred.Credentials, arg uint64) error {
	const all = 0xff
	const locks = cred.SecbitNorootLocked | cred.SecbitNoSetuidFixupLocked | cred.SecbitKeepCapsLocked | cred.SecbitNoCapAmbientRaiseLck
	was := uint64(old.Securebits)
	locked := was & locks >> 1
	if (was^arg)&locked != 0 || was&locks&^arg != 0 || arg&^all != 0 || !old.HasCap(unix.CAP_SETPCAP) {
		return unix.EPERM
	}
	c := old.Clone()
	c.Securebits = uint32(arg)
	t.SetCredentials(c)
	return nil
}

func prctlAmbient(t *kernel.Task, old *cred.Credentials, a kernel.Args) (uint64, error) {
	op, arg := a.Size(1), a.Size(2)
	if op == unix.PR_CAP_AMBIENT_CLEAR_ALL {
		if arg|a[3]|a[4] != 0 {
			return 0, unix.EINVAL
		}
		c := old.Clone()
		c.Ambient = 0
		t.SetCredentials(c)
		return 0, nil
	}
	if arg > uint64(cred.LastCap) || a[3]|a[4] != 0 {
		return 0, unix.EINVAL
	}
	capability := cred.Capability(arg)
	c := old.Clone()
	switch op {
	case unix.PR_CAP_AMBIENT_IS_SET:
		if old.Ambient.Has(capability) {
			return 1, nil
		}
		return 0, nil
	case unix.PR_CAP_AMBIENT_RAISE:
		if !old.Permitted.Has(capability) || !old.Inheritable.Has(capability) || old.Securebits&cred.SecbitNoCapAmbientRaise != 0 {
			return 0, unix.EPERM
		}
		c.Ambient |= 1 << capability
	case unix.PR_CAP_AMBIENT_LOWER:
		c.Ambient &^= 1 << capability
	default:
		return 0, unix.EINVAL
	}
	t.SetCredentials(c)
	return 0, nil
}

// sysPersonality is personality(2).
func sysPersonality(t *kernel.Task, a kernel.Args) (uint64, error) {
	old := t.Personality()
	if p := a.Uint(0); p != 0xffffffff {
		t.SetPersonality(p)
	}
	return uint64(old), nil
}

// sysSeccomp is seccomp(2).
func sysSeccomp(t *kernel.Task, a kernel.Args) (uint64, error) {
	const (
		setModeStrict  = 0
		setModeFilter  = 1
		getActionAvail = 2
	)
	flags := a.Uint(1)
	switch a.Uint(0) {
	case setModeStrict:
		if flags != 0 || a.Ptr(2) != 0 {
			return 0, unix.EINVAL
		}
		return 0, t.SetSeccompStrict()
	case setModeFilter:
		return addFilter(t, flags, a.Ptr(2))
	case getActionAvail:
		if flags != 0 {
			return 0, unix.EINVAL
		}
		action, err := getUint32(t, a.Ptr(2))
		if err != nil {
			return 0, err
		}
		if !kernel.SeccompActionKnown(action) {
			return 0, unix.EOPNOTSUPP
		}
		return 0, nil
	}
	return 0, unix.EINVAL
}

// addFilter installs the filter of the struct sock_fprog at addr.
func addFilter(t *kernel.Task, flags uint32, addr uint64) (uint64, error) {
	const (
		flagTsync      = 1
		flagLog        = 2
		flagSpecAllow  = 4
		flagTsyncESRCH = 16
	)
	if flags&^(flagTsync|flagLog|flagSpecAllow|flagTsyncESRCH) != 0 {
		return 0, unix.EINVAL
	}
	var b [16]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return 0, err
	}
	n := uint64(le.Uint16(b[0:]))
	if n == 0 || n > 4096 {
		return 0, unix.EINVAL
	}
	if !t.NoNewPrivs() && !t.HasCap(unix.CAP_SYS_ADMIN) {
		return 0, unix.EACCES
	}
	code := make([]byte, 8*n)
	if err := copyIn(t, le.Uint64(b[8:]), code); err != nil {
		return 0, err
	}
	prog := make([]unix.SockFilter, n)
	for i := range prog {
		p := code[8*i:]
		prog[i] = unix.SockFilter{Code: le.Uint16(p), Jt: p[2], Jf: p[3], K: le.Uint32(p[4:])}
	}
	f, err := kernel.NewSeccompFilter(prog, flags&flagLog != 0)
	if err != nil {
		return 0, err
	}
	other, err := t.AddSeccompFilter(f, flags&flagTsync != 0)
	if other != 0 && flags&flagTsyncESRCH != 0 {
		return 0, unix.ESRCH
	}
	return uint64(other), err
}
