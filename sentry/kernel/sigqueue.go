package kernel

import "math/bits"

// A sigQueue holds pending signals: a standard signal once, a real-time signal as
// often as it was sent. It is guarded by ThreadGroup.sigMu.
type sigQueue struct {
	set  SignalSet
	list []queuedSignal // in order of arrival
}

type queuedSignal struct {
	info  SigInfo
	user  *userCount // whose RLIMIT_SIGPENDING it counts for; nil for none
	timer *PosixTimer
}

// add appends q.
func (s *sigQueue) add(q queuedSignal) {
	s.set |= bit(q.info.Signo)
	s.list = append(s.list, q)
}

// mark makes sig pending without a siginfo: there was no room for one.
func (s *sigQueue) mark(sig int32) { s.set |= bit(sig) }

// next is the signal of set that is delivered next, 0 if there is none:
// synchronous ones first, then the lowest number.
func (s SignalSet) next() int32 {
	if s == 0 {
		return 0
	}
	if sync := s & synchronousSignals; sync != 0 {
		s = sync
	}
	return int32(bits.TrailingZeros64(uint64(s))) + 1
}

// take removes the first pending sig.
func (s *sigQueue) take(sig int32) queuedSignal {
	found := -1
	again := false
	for i := range s.list {
		if s.list[i].info.Signo == sig {
			if found >= 0 {
				again = true
				break
			}
			found = i
		}
	}
	if !again {
		s.set &^= bit(sig)
	}
	if found < 0 {
		return queuedSignal{info: SigInfo{Signo: sig, Code: SIUser}}
	}
	q := s.list[found]
	copy(s.list[found:], s.list[found+1:])
	s.list[len(s.list)-1] = queuedSignal{}
	s.list = s.list[:len(s.list)-1]
	q.user.releaseSignal()
	return q
}

// flush removes all pending signals of set.
func (s *sigQueue) flush(set SignalSet) {
	if s.set&set == 0 {
		return
	}
	s.set &^= set
	kept := s.list[:0]
	for _, q := range s.list {
		if !set.Has(q.info.Signo) {
			kept = append(kept, q)
			continue
		}
		q.user.releaseSignal()
		if q.timer != nil {
			q.timer.queued = false
		}
	}
	clear(s.list[len(kept):])
	s.list = kept
}
