package procfs

import (
	"math"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
)

// ipcMni is the most objects of a kind that there can be (IPCMNI).
const ipcMni = 32768

// ipcEntries are the limits of IPC namespaces in /proc/sys/kernel.
var ipcEntries = []entry{
	ipcLimit("msgmax", 0, math.MaxInt32, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MsgMax }),
	ipcLimit("msgmnb", 0, math.MaxInt32, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MsgMnb }),
	ipcLimit("msgmni", 0, ipcMni, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MsgMni }),
	{name: "sem", mode: 0o644, text: showSem, store: storeSem},
	ipcLimit("shm_rmid_forced", 0, 1, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.ShmRmidForced }),
	ipcLimit("shmall", 0, math.MaxUint64, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.ShmAll }),
	ipcLimit("shmmax", 0, math.MaxUint64, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.ShmMax }),
	ipcLimit("shmmni", 0, ipcMni, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.ShmMni }),
}

// mqueueEntries are those in /proc/sys/fs/mqueue.
var mqueueEntries = []entry{
	ipcLimit("msg_default", 1, 65536, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MQ.MsgDefault }),
	ipcLimit("msg_max", 1, 65536, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MQ.MsgMax }),
	ipcLimit("msgsize_default", 128, 16<<20, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MQ.MsgSizeDefault }),
	ipcLimit("msgsize_max", 128, 16<<20, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MQ.MsgSizeMax }),
	ipcLimit("queues_max", 0, math.MaxInt32, func(l *kernel.IPCLimits) *atomic.Uint64 { return &l.MQ.Queues }),
}

// ipcOf is the IPC namespace of who uses ctx.
func ipcOf(o *object, ctx *vfs.Context) *kernel.IPCNamespace {
	if t, _ := ctx.Task.(*kernel.Task); t != nil && t.Namespaces() != nil {
		return t.Namespaces().IPC
	}
	return o.fs.k.RootNamespaces().IPC
}

// ipcLimit is a limit that is one number between least and most.
func ipcLimit(name string, least, most uint64, of func(*kernel.IPCLimits) *atomic.Uint64) entry {
	return entry{
		name: name, mode: 0o644,
		text: func(o *object, w *text) { w.printf("%d\n", of(&ipcOf(o, w.ctx).Limits).Load()) },
		store: func(o *object, ctx *vfs.Context, data string) error {
			v, err := strconv.ParseUint(strings.Trim(data, " \t\n\x00"), 0, 64)
			if err != nil || v < least || v > most {
				return unix.EINVAL
			}
			of(&ipcOf(o, ctx).Limits).Store(v)
			return nil
		},
	}
}

func showSem(o *object, w *text) {
	sem := &ipcOf(o, w.ctx).Limits.Sem
	w.printf("%d\t%d\t%d\t%d\n", sem[0].Load(), sem[1].Load(), sem[2].Load(), sem[3].Load())
}

// storeSem takes up to four numbers.
func storeSem(o *object, ctx *vfs.Context, data string) error {
	sem := &ipcOf(o, ctx).Limits.Sem
	fields := strings.Fields(strings.TrimRight(data, "\x00"))
	for i, field := range fields[:min(len(fields), len(sem))] {
		v, err := strconv.ParseUint(field, 0, 31)
		if err != nil || i == 3 && v > ipcMni {
			return unix.EINVAL
		}
		sem[i].Store(v)
	}
	return nil
}
