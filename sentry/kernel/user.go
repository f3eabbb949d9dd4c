package kernel

import (
	"sync"
	"sync/atomic"

	"casemate/vfs/cred"
)

// A userCount is what RLIMIT_NPROC and RLIMIT_SIGPENDING limit: they count for
// each real user id.
type userCount struct {
	processes atomic.Int64
	signals   atomic.Int64
}

// users has the counts of all users that there have been.
type users struct {
	m sync.Map // cred.UID -> *userCount
}

func (u *users) get(uid cred.UID) *userCount {
	if v, ok := u.m.Load(uid); ok {
		return v.(*userCount)
	}
	v, _ := u.m.LoadOrStore(uid, new(userCount))
	return v.(*userCount)
}

func (t *Task) userCount() *userCount { return t.k.users.get(t.Credentials().RUID) }

// takeSignal counts one more queued signal; false if that exceeds limit and
// override is not set.
func (u *userCount) takeSignal(limit uint64, override bool) bool {
	n := u.signals.Add(1)
	if !override && uint64(n) > limit {
		u.signals.Add(-1)
		return false
	}
	return true
}

// releaseSignal undoes takeSignal. u may be nil.
func (u *userCount) releaseSignal() {
	if u != nil {
		u.signals.Add(-1)
	}
}
