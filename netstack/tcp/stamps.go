package tcp

import (
	"slices"

	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// maxStamps bounds the time stamps that nobody takes.
const maxStamps = 256

// stamps are the time stamps of what an endpoint sends (SO_TIMESTAMPING), each of a send's last byte.
type stamps struct {
	asked []askedStamps
	made  []stamp
}

// askedStamps are those of a byte that are still to be made.
type askedStamps struct {
	seq  uint32
	want uint32 // of sock.StampSent
}

type stamp struct {
	err sock.ExtendedErr
	at  int64 // ns since the epoch
}

// NumberStamps begins to count the bytes that stamps are about: from what has not been acknowledged, or, if written,
// from what has not been written. EINVAL unless connected.
func (e *Endpoint) NumberStamps(written bool) error {
	e.lock()
	defer e.unlock()
	switch {
	case e.state == Close || e.state == Listen:
		return unix.EINVAL
	case written:
		e.stampBase = e.snd.end
	default:
		e.stampBase = e.snd.una
	}
	return nil
}

// askStamps has stamps made of the last byte that was written. mu is held.
func (e *Endpoint) askStamps(want uint32) {
	if e.stamps == nil {
		e.stamps = new(stamps)
	}
	if len(e.stamps.asked) < maxStamps {
		e.stamps.asked = append(e.stamps.asked, askedStamps{e.snd.end - 1, want})
	}
}

// makeStamps makes the stamps of what has been sent or acknowledged. mu is held.
func (e *Endpoint) makeStamps() {
	q := e.stamps
	for k := range q.asked {
		a := &q.asked[k]
		check := func(flag, kind uint32) {
			if a.want&flag == 0 {
				return
			}
			a.want &^= flag
			if len(q.made) < maxStamps {
				q.made = append(q.made, stamp{e.opts.StampErr(kind, a.seq-e.stampBase), e.proto.ip.Wheel.Wall().UnixNano()})
				e.pend |= unix.POLLERR
			}
		}
		if before(a.seq, e.snd.nxt) {
			check(unix.SOF_TIMESTAMPING_TX_SCHED, sock.StampQueue)
			check(unix.SOF_TIMESTAMPING_TX_SOFTWARE, sock.StampOut)
		}
		if before(a.seq, e.snd.una) {
			check(unix.SOF_TIMESTAMPING_TX_ACK, sock.StampACK)
		}
	}
	q.asked = slices.DeleteFunc(q.asked, func(a askedStamps) bool { return a.want == 0 })
}

// stamped reports whether there are stamps to be taken. mu is held.
func (e *Endpoint) stamped() bool { return e.stamps != nil && len(e.stamps.made) > 0 }

// recvStamp is recvmsg(2) with MSG_ERRQUEUE: EAGAIN if there is no stamp. Unlike Linux's none has the segment with it.
func (e *Endpoint) recvStamp(m *sock.Msg) (int, error) {
	e.lock()
	defer e.unlock()
	if !e.stamped() {
		return 0, unix.EAGAIN
	}
	s := e.stamps.made[0]
	e.stamps.made = slices.Delete(e.stamps.made, 0, 1)
	m.OutFlags |= unix.MSG_ERRQUEUE
	m.Control.Has, m.Control.Time, m.Control.Err = sock.HasTimestamp|sock.HasError, s.at, s.err
	return 0, nil
}
