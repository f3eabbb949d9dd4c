package kernel

import (
	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/vfs/wait"
)

// Membarrier commands for which a process registers: bits of ThreadGroup.barriers.
const (
	barrierPrivate = 1 << iota
	barrierSyncCore
	barrierGlobal
)

// Commands of membarrier(2).
const (
	membarrierGlobal                  = 1 << 0
	membarrierGlobalExpedited         = 1 << 1
	membarrierRegisterGlobalExpedited = 1 << 2
	membarrierPrivate                 = 1 << 3
	membarrierRegisterPrivate         = 1 << 4
	membarrierPrivateSyncCore         = 1 << 5
	membarrierRegisterPrivateSyncCore = 1 << 6

	membarrierAll = membarrierGlobal | membarrierGlobalExpedited | membarrierRegisterGlobalExpedited |
		membarrierPrivate | membarrierRegisterPrivate | membarrierPrivateSyncCore | membarrierRegisterPrivateSyncCore
)

// Membarrier is membarrier(2) without flags. It has every task concerned that runs
// application code come into the sentry, which orders its memory accesses. EINVAL,
// EPERM, ErrRestartNoIntr.
func (t *Task) Membarrier(cmd int32) (uint64, error) {
	tg := t.tg
	need := uint32(0)
	switch cmd {
	case 0:
		return membarrierAll, nil
	case membarrierRegisterGlobalExpedited:
		tg.barriers.Or(barrierGlobal)
		return 0, nil
	case membarrierRegisterPrivate:
		tg.barriers.Or(barrierPrivate)
		return 0, nil
	case membarrierRegisterPrivateSyncCore:
		tg.barriers.Or(barrierSyncCore)
		return 0, nil
	case membarrierPrivate:
		need = barrierPrivate
	case membarrierPrivateSyncCore:
		need = barrierSyncCore
	case membarrierGlobal, membarrierGlobalExpedited:
	default:
		return 0, unix.EINVAL
	}
	if tg.barriers.Load()&need != need {
		return 0, unix.EPERM
	}
	var list []*Task
	if need != 0 {
		list = tg.Tasks()
	} else {
		for _, o := range t.k.root.PIDForChildren.ThreadGroups() {
			if cmd == membarrierGlobal || o.barriers.Load()&barrierGlobal != 0 {
				list = append(list, o.Tasks()...)
			}
		}
	}
	return 0, t.comeUp(list)
}

// comeUp waits until each task of list has been in the sentry since the call.
func (t *Task) comeUp(list []*Task) error {
	k := t.k
	e := t.WaitEntry()
	k.barrierWait.Register(e, wait.In)
	defer k.barrierWait.Unregister(e)
	k.barrierWaiters.Add(1)
	defer k.barrierWaiters.Add(-1)
	for _, o := range list {
		if o == t || !o.cpu.inUser.Load() {
			continue
		}
		before := o.upcalls.Load()
		o.ctx.Interrupt()
		for o.cpu.inUser.Load() && o.upcalls.Load() == before {
			if t.Block(clock.Never) != nil {
				return ErrRestartNoIntr
			}
		}
	}
	return nil
}

// cameUp tells those that wait in comeUp.
func (t *Task) cameUp() {
	t.upcalls.Add(1)
	if t.k.barrierWaiters.Load() != 0 {
		t.k.barrierWait.Notify(wait.In)
	}
}
