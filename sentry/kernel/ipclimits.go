package kernel

import "sync/atomic"

// IPCLimits are the limits of an IPC namespace that /proc/sys shows (sysvipc(7),
// mq_overview(7)), in the units that it has there.
type IPCLimits struct {
	// Sem are SEMMSL, SEMMNS, SEMOPM and SEMMNI.
	Sem                    [4]atomic.Uint64
	MsgMax, MsgMnb, MsgMni atomic.Uint64
	// ShmRmidForced has segments destroyed that no process has attached.
	ShmMax, ShmAll, ShmMni, ShmRmidForced atomic.Uint64
	// MQ are those of POSIX message queues.
	MQ struct {
		Queues, MsgMax, MsgSizeMax, MsgDefault, MsgSizeDefault atomic.Uint64
	}
}

// init sets what a new namespace has.
func (l *IPCLimits) init() {
	for i, v := range []uint64{32000, 1024000000, 500, 32000} {
		l.Sem[i].Store(v)
	}
	l.MsgMax.Store(8192)
	l.MsgMnb.Store(16384)
	l.MsgMni.Store(32000)
	const most = 1<<64 - 1 - 1<<24 // ULONG_MAX - (1 << 24)
	l.ShmMax.Store(most)
	l.ShmAll.Store(most)
	l.ShmMni.Store(4096)
	l.MQ.Queues.Store(256)
	l.MQ.MsgMax.Store(10)
	l.MQ.MsgSizeMax.Store(8192)
	l.MQ.MsgDefault.Store(10)
	l.MQ.MsgSizeDefault.Store(8192)
}
