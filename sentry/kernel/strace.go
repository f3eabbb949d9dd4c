package kernel

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/vfs/usermem"
)

// An argFormat says how strace shows an argument.
type argFormat uint8

// The formats, by the words that Entry.Args uses.
const (
	fmtInt argFormat = iota
	fmtUint
	fmtHex
	fmtOct
	fmtPtr
	fmtFD
	fmtDirFD
	fmtPath
	fmtStrings // argv, envp
	fmtIn      // buffer that the call reads; its length is the next argument
	fmtOut     // buffer that the call fills; its length is the result
	fmtSignal
	fmtSigSet // address of a signal set
	fmtOpenFlags
	fmtProt
	fmtMapFlags
	fmtCloneFlags
	fmtTimespec // address of a timespec
	fmtTimeval
	fmtInt32Ptr // address of an int
	fmtFDPair   // address of two ints, shown after the call
	fmtFutexOp
	fmtWhence
	fmtClock
)

var formatNames = map[string]argFormat{
	"int": fmtInt, "uint": fmtUint, "hex": fmtHex, "oct": fmtOct, "ptr": fmtPtr, "fd": fmtFD,
	"dirfd": fmtDirFD, "path": fmtPath, "strings": fmtStrings, "in": fmtIn, "out": fmtOut,
	"sig": fmtSignal, "sigset": fmtSigSet, "oflags": fmtOpenFlags, "prot": fmtProt,
	"mapflags": fmtMapFlags, "cloneflags": fmtCloneFlags, "timespec": fmtTimespec,
	"timeval": fmtTimeval, "intptr": fmtInt32Ptr, "fdpair": fmtFDPair, "futexop": fmtFutexOp,
	"whence": fmtWhence, "clock": fmtClock,
}

// parseFormats translates Entry.Args.
func parseFormats(s string) ([]argFormat, error) {
	words := strings.Fields(s)
	if len(words) > 6 {
		return nil, fmt.Errorf("%d arguments", len(words))
	}
	list := make([]argFormat, len(words))
	for i, w := range words {
		f, ok := formatNames[w]
		if !ok {
			return nil, fmt.Errorf("unknown argument format %q", w)
		}
		list[i] = f
	}
	return list, nil
}

// straceString is how many bytes of a buffer or string are shown.
const straceString = 64

// SetStrace has every system call of all tasks written as a line to w, or no
// longer if w is nil. w may be called by several goroutines at a time.
func (k *Kernel) SetStrace(w func(line string)) {
	if w == nil {
		k.strace.Store(false)
		return
	}
	k.straceTo.Store(&w)
	k.strace.Store(true)
	k.desks.end()
}

// traced is invoke with a line written for strace before and after the call.
func (t *Task) traced(nr uint64, args Args) (uint64, error) {
	w := *t.k.straceTo.Load()
	who := fmt.Sprintf("[%5d] %s", t.TID(), t.Comm())
	before := t.straceCall(nr, args, 0, false)
	w(fmt.Sprintf("%s E %s", who, before))
	ret, err := t.invoke(nr, args)
	result := straceResult(ret, err)
	w(fmt.Sprintf("%s X %s = %s", who, t.straceCall(nr, args, ret, err == nil), result))
	return ret, err
}

func straceResult(ret uint64, err error) string {
	if err == nil {
		if ret > 1<<31 {
			return fmt.Sprintf("%#x", ret)
		}
		return strconv.FormatUint(ret, 10)
	}
	e := ToErrno(err)
	switch e {
	case ErrRestartSys:
		return "? ERESTARTSYS"
	case ErrRestartNoIntr:
		return "? ERESTARTNOINTR"
	case ErrRestartNoHand:
		return "? ERESTARTNOHAND"
	case ErrRestartBlock:
		return "? ERESTART_RESTARTBLOCK"
	}
	return fmt.Sprintf("-1 %s (%s)", unix.ErrnoName(e), e.Error())
}

// straceCall renders name and arguments. done is set after a call that did not
// fail: then what it has filled in is shown.
func (t *Task) straceCall(nr uint64, args Args, ret uint64, done bool) string {
	var b strings.Builder
	b.WriteString(t.k.table.Name(nr))
	b.WriteByte('(')
	formats := []argFormat{fmtHex, fmtHex, fmtHex, fmtHex, fmtHex, fmtHex}
	if e := t.k.table.Entry(nr); e != nil {
		formats = e.formats
	}
	for i, f := range formats {
		if i > 0 {
			b.WriteString(", ")
		}
		length := uint64(0)
		switch {
		case f == fmtIn && i < 5:
			length = args[i+1]
		case f == fmtOut && done:
			length = ret
		}
		t.straceArg(&b, f, args[i], length, done)
	}
	b.WriteByte(')')
	return b.String()
}

func (t *Task) straceArg(b *strings.Builder, f argFormat, v, length uint64, done bool) {
	switch f {
	case fmtInt, fmtFD:
		fmt.Fprint(b, int32(v))
	case fmtUint:
		fmt.Fprint(b, v)
	case fmtOct:
		fmt.Fprintf(b, "%#o", uint32(v))
	case fmtDirFD:
		if int32(v) == unix.AT_FDCWD {
			b.WriteString("AT_FDCWD")
		} else {
			fmt.Fprint(b, int32(v))
		}
	case fmtPath:
		t.straceText(b, v)
	case fmtStrings:
		t.straceStrings(b, v)
	case fmtIn:
		t.straceBytes(b, v, length)
	case fmtOut:
		if done {
			t.straceBytes(b, v, length)
		} else {
			fmt.Fprintf(b, "%#x", v)
		}
	case fmtSignal:
		if name := unix.SignalName(unix.Signal(v)); name != "" {
			b.WriteString(name)
		} else {
			fmt.Fprint(b, int32(v))
		}
	case fmtSigSet:
		t.straceWords(b, v, 8, func(p []byte) string { return fmt.Sprintf("[%#x]", leUint64(p)) })
	case fmtTimespec:
		t.straceWords(b, v, 16, func(p []byte) string {
			return fmt.Sprintf("{%d, %d}", int64(leUint64(p)), int64(leUint64(p[8:])))
		})
	case fmtTimeval:
		t.straceWords(b, v, 16, func(p []byte) string {
			return fmt.Sprintf("{%d, %d}", int64(leUint64(p)), int64(leUint64(p[8:])))
		})
	case fmtInt32Ptr:
		t.straceWords(b, v, 4, func(p []byte) string { return fmt.Sprintf("[%d]", int32(leUint32(p))) })
	case fmtFDPair:
		if !done {
			fmt.Fprintf(b, "%#x", v)
			return
		}
		t.straceWords(b, v, 8, func(p []byte) string {
			return fmt.Sprintf("[%d, %d]", int32(leUint32(p)), int32(leUint32(p[4:])))
		})
	case fmtOpenFlags:
		straceOpenFlags(b, v)
	case fmtProt:
		straceFlags(b, v, protNames, "PROT_NONE")
	case fmtMapFlags:
		straceFlags(b, v, mapNames, "0")
	case fmtCloneFlags:
		straceFlags(b, v&^0xff, cloneNames, "0")
		if v&0xff != 0 {
			b.WriteString("|" + unix.SignalName(unix.Signal(v&0xff)))
		}
	case fmtFutexOp:
		straceFutexOp(b, v)
	case fmtWhence:
		straceName(b, v, "SEEK_SET", "SEEK_CUR", "SEEK_END", "SEEK_DATA", "SEEK_HOLE")
	case fmtClock:
		straceName(b, v, "CLOCK_REALTIME", "CLOCK_MONOTONIC", "CLOCK_PROCESS_CPUTIME_ID", "CLOCK_THREAD_CPUTIME_ID",
			"CLOCK_MONOTONIC_RAW", "CLOCK_REALTIME_COARSE", "CLOCK_MONOTONIC_COARSE", "CLOCK_BOOTTIME")
	default:
		if v == 0 && f == fmtPtr {
			b.WriteString("NULL")
			return
		}
		fmt.Fprintf(b, "%#x", v)
	}
}

func straceName(b *strings.Builder, v uint64, names ...string) {
	if v < uint64(len(names)) {
		b.WriteString(names[v])
	} else {
		fmt.Fprint(b, int32(v))
	}
}

func (t *Task) straceText(b *strings.Builder, addr uint64) {
	if addr == 0 {
		b.WriteString("NULL")
		return
	}
	s, err := t.fs.Mem.CopyInString(addr, unix.PathMax)
	if err != nil {
		fmt.Fprintf(b, "%#x", addr)
		return
	}
	b.WriteString(strconv.Quote(s))
}

func (t *Task) straceStrings(b *strings.Builder, addr uint64) {
	if addr == 0 {
		b.WriteString("NULL")
		return
	}
	b.WriteByte('[')
	for i := range uint64(16) {
		var p [8]byte
		if _, err := t.fs.Mem.CopyIn(p[:], addr+8*i); err != nil {
			break
		}
		s := leUint64(p[:])
		if s == 0 {
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		t.straceText(b, s)
	}
	b.WriteByte(']')
}

func (t *Task) straceBytes(b *strings.Builder, addr, length uint64) {
	if length > 1<<31 {
		fmt.Fprintf(b, "%#x", addr)
		return
	}
	p := make([]byte, min(length, straceString))
	n, _ := usermem.Memory(t.fs.Mem).CopyIn(p, addr)
	text := true
	for _, c := range p[:n] {
		if c >= 0x80 || c < 0x20 && c != '\n' && c != '\t' && c != '\r' {
			text = false
		}
	}
	if text {
		b.WriteString(strconv.Quote(string(p[:n])))
	} else {
		b.WriteString("0x" + hex.EncodeToString(p[:n]))
	}
	if length > straceString {
		b.WriteString("...")
	}
}

func (t *Task) straceWords(b *strings.Builder, addr uint64, n int, f func(p []byte) string) {
	if addr == 0 {
		b.WriteString("NULL")
		return
	}
	p := make([]byte, n)
	if _, err := t.fs.Mem.CopyIn(p, addr); err != nil {
		fmt.Fprintf(b, "%#x", addr)
		return
	}
	b.WriteString(f(p))
}

// A flagName is the name of a bit.
type flagName struct {
	bit  uint64
	name string
}

var (
	protNames = []flagName{{unix.PROT_READ, "PROT_READ"}, {unix.PROT_WRITE, "PROT_WRITE"}, {unix.PROT_EXEC, "PROT_EXEC"},
		{unix.PROT_GROWSDOWN, "PROT_GROWSDOWN"}, {unix.PROT_GROWSUP, "PROT_GROWSUP"}}
	mapNames = []flagName{{unix.MAP_SHARED, "MAP_SHARED"}, {unix.MAP_PRIVATE, "MAP_PRIVATE"}, {unix.MAP_FIXED, "MAP_FIXED"},
		{unix.MAP_ANONYMOUS, "MAP_ANONYMOUS"}, {unix.MAP_GROWSDOWN, "MAP_GROWSDOWN"}, {unix.MAP_DENYWRITE, "MAP_DENYWRITE"},
		{unix.MAP_LOCKED, "MAP_LOCKED"}, {unix.MAP_NORESERVE, "MAP_NORESERVE"}, {unix.MAP_POPULATE, "MAP_POPULATE"},
		{unix.MAP_STACK, "MAP_STACK"}, {unix.MAP_HUGETLB, "MAP_HUGETLB"}, {unix.MAP_FIXED_NOREPLACE, "MAP_FIXED_NOREPLACE"}}
	cloneNames = []flagName{{unix.CLONE_VM, "CLONE_VM"}, {unix.CLONE_FS, "CLONE_FS"}, {unix.CLONE_FILES, "CLONE_FILES"},
		{unix.CLONE_SIGHAND, "CLONE_SIGHAND"}, {unix.CLONE_PIDFD, "CLONE_PIDFD"}, {unix.CLONE_PTRACE, "CLONE_PTRACE"},
		{unix.CLONE_VFORK, "CLONE_VFORK"}, {unix.CLONE_PARENT, "CLONE_PARENT"}, {unix.CLONE_THREAD, "CLONE_THREAD"},
		{unix.CLONE_NEWNS, "CLONE_NEWNS"}, {unix.CLONE_SYSVSEM, "CLONE_SYSVSEM"}, {unix.CLONE_SETTLS, "CLONE_SETTLS"},
		{unix.CLONE_PARENT_SETTID, "CLONE_PARENT_SETTID"}, {unix.CLONE_CHILD_CLEARTID, "CLONE_CHILD_CLEARTID"},
		{unix.CLONE_CHILD_SETTID, "CLONE_CHILD_SETTID"}, {unix.CLONE_NEWCGROUP, "CLONE_NEWCGROUP"},
		{unix.CLONE_NEWUTS, "CLONE_NEWUTS"}, {unix.CLONE_NEWIPC, "CLONE_NEWIPC"}, {unix.CLONE_NEWUSER, "CLONE_NEWUSER"},
		{unix.CLONE_NEWPID, "CLONE_NEWPID"}, {unix.CLONE_NEWNET, "CLONE_NEWNET"}}
	openNames = []flagName{{unix.O_CREAT, "O_CREAT"}, {unix.O_EXCL, "O_EXCL"}, {unix.O_NOCTTY, "O_NOCTTY"},
		{unix.O_TRUNC, "O_TRUNC"}, {unix.O_APPEND, "O_APPEND"}, {unix.O_NONBLOCK, "O_NONBLOCK"}, {unix.O_DIRECT, "O_DIRECT"},
		{unix.O_DIRECTORY, "O_DIRECTORY"}, {unix.O_NOFOLLOW, "O_NOFOLLOW"}, {unix.O_NOATIME, "O_NOATIME"},
		{unix.O_CLOEXEC, "O_CLOEXEC"}, {unix.O_PATH, "O_PATH"}, {unix.O_SYNC, "O_SYNC"}}
)

func straceFlags(b *strings.Builder, v uint64, names []flagName, none string) {
	if v == 0 {
		b.WriteString(none)
		return
	}
	sep := ""
	for _, n := range names {
		if n.bit != 0 && v&n.bit == n.bit {
			b.WriteString(sep + n.name)
			sep = "|"
			v &^= n.bit
		}
	}
	if v != 0 {
		fmt.Fprintf(b, "%s%#x", sep, v)
	}
}

func straceOpenFlags(b *strings.Builder, v uint64) {
	b.WriteString([...]string{"O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE"}[v&3])
	if v &^= 3; v != 0 {
		b.WriteByte('|')
		straceFlags(b, v, openNames, "")
	}
}

func straceFutexOp(b *strings.Builder, v uint64) {
	names := [...]string{"FUTEX_WAIT", "FUTEX_WAKE", "FUTEX_FD", "FUTEX_REQUEUE", "FUTEX_CMP_REQUEUE", "FUTEX_WAKE_OP",
		"FUTEX_LOCK_PI", "FUTEX_UNLOCK_PI", "FUTEX_TRYLOCK_PI", "FUTEX_WAIT_BITSET", "FUTEX_WAKE_BITSET",
		"FUTEX_WAIT_REQUEUE_PI", "FUTEX_CMP_REQUEUE_PI", "FUTEX_LOCK_PI2"}
	straceName(b, v&0x7f, names[:]...)
	if v&0x80 != 0 {
		b.WriteString("|FUTEX_PRIVATE_FLAG")
	}
	if v&0x100 != 0 {
		b.WriteString("|FUTEX_CLOCK_REALTIME")
	}
}
