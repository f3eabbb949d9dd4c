package loan

// Bits of slot.interest. The rest counts the calls.
const (
	interested = 1 << 0
	changed    = 1 << 1
	call       = 1 << 2
)

// turn is which of the slot's events and data are those of the call that has made its interest v.
// The next call leaves them alone, so that who has read them and finds v still there has them whole,
// and of a call that succeeded.
func turn(v uint32) uint32 { return v / call % 2 }

// exotic are the flags of epoll_ctl(2) that the stub leaves to the sentry: EPOLLEXCLUSIVE and
// EPOLLWAKEUP.
const exotic = 1<<28 | 1<<29

// An Observer is an epoll file as far as one descriptor goes. While it lends its interest, nobody
// but the thread that borrows it waits for the epoll file, changes it or asks it anything. Its
// methods take its lock, under which it uses the Loan.
type Observer interface {
	// LendInterest lends d the interest, to be changed by descriptor epfd.
	LendInterest(d *Desk, l *Loan, epfd int32)
	// SettleInterest takes account of what l says, if it has been lent that.
	SettleInterest(l *Loan)
	// RecallInterest is SettleInterest, and the loan is over.
	RecallInterest(l *Loan)
}

// LendInterest has o lend the thread its interest in fd, if fd is lent something else already:
// then it is worth the while.
func (d *Desk) LendInterest(fd, epfd int32, o Observer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := &d.loans[uint32(fd)%Slots]
	if d.over.Load() || l.owner == nil || l.slot.fd != uint32(fd)+1 {
		return
	}
	if l.observer != nil && l.observer != o {
		l.observer.RecallInterest(l)
	}
	l.observer = o
	o.LendInterest(d, l, epfd)
}

// LendInterest lends the interest of the epoll file epfd; on says whether there is one now.
func (l *Loan) LendInterest(epfd int32, on bool) {
	v := uint32(0)
	if on {
		v = interested
	}
	l.slot.epoll = uint32(epfd) + 1
	l.slot.interest.Store(v)
}

// An Interest is what epoll_ctl(2) has been told last, if On: else the descriptor was deleted.
type Interest struct {
	On     bool
	Events uint32
	Data   uint64
}

// Interest returns what the thread has made of the interest since the last call, if anything.
func (l *Loan) Interest() (in Interest, is bool) {
	const tries = 16 // an honest thread has not changed it so often meanwhile
	for range tries {
		v := l.slot.interest.Load()
		if v&changed == 0 {
			break
		}
		in = Interest{v&interested != 0, l.slot.events[turn(v)] &^ exotic, l.slot.data64[turn(v)]}
		if l.slot.interest.CompareAndSwap(v, v&^changed) {
			return in, true
		}
	}
	return Interest{}, false
}

// EndInterest ends the loan of the interest. Interest is to be asked once more.
func (l *Loan) EndInterest() { l.slot.interest.Or(closed) }
