package tcp

import "fmt"

func (e *Endpoint) dump() string {
	e.lock()
	defer e.mu.Unlock()
	s, r, c := &e.snd, &e.rcv, &e.rec
	return fmt.Sprintf("una+%d nxt+%d end+%d wnd %d mss %d q %d cost %d sndbuf %d; cwnd %d ssthresh %d out %d sacked %d lost %d retr %d ca %d; rcv nxt+%d adv %d q %d cost %d ooo %d rcvbuf %d ackdue %v; timers %v now %v rto %v noSpace %v",
		s.una-s.iss, s.nxt-s.iss, s.end-s.iss, s.wnd, s.mss, s.q.size, s.q.cost, e.opts.SndBuf(), e.cc.cwnd, e.cc.ssthresh, c.packetsOut, c.sackedOut, c.lostOut, c.retransOut, c.ca,
		r.nxt-r.irs, int32(r.adv-r.nxt), r.q.size, r.q.cost, len(r.ooo), e.opts.RcvBuf(), r.ackDue, e.timers.at, e.now(), e.rtt.timeout(), e.noSpace)
}
