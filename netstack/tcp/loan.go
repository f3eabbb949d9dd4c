package tcp

import (
	"io"

	"casemate/netstack/pkt"
	"casemate/netstack/sock"
)

// A Borrower reads the connection's data and writes to it without calls: it has been lent the
// first bytes of what was received, and room. It says what it has done when it is asked, which
// is whenever the endpoint's lock is taken. Its methods are called under that lock, and do not
// block.
type Borrower interface {
	// Buffer is where n bytes go that are to be lent: nil if that is too much.
	Buffer(n int) []byte
	// LendData lends the n bytes in Buffer.
	LendData(n int)
	// Taken returns how many bytes have been read since the last call.
	Taken() int
	// EndData ends reading. Taken is to be asked once more.
	EndData()
	// LendRoom lends room for writing, of pkt.MediumSize at most.
	LendRoom()
	// Drain writes to w what has been written, and there is room again.
	Drain(w io.Writer)
	// EndRoom ends writing. Drain is to be called once more.
	EndRoom()
}

// LendData lends b all that can be read now, if it is not too much.
func (e *Endpoint) LendData(b Borrower) {
	if !e.rmu.TryLock() {
		return
	}
	defer e.rmu.Unlock()
	e.lock()
	defer e.unlock()
	r := &e.rcv
	if e.state == Listen || e.dead || r.urg != urgNone || r.q.size == 0 {
		return
	}
	buf := b.Buffer(r.q.size)
	if buf == nil {
		return
	}
	e.lendTo(b)
	for i, n := 0, 0; n < len(buf); i++ {
		n += copy(buf[n:], r.q.f.at(i).Bytes())
	}
	b.LendData(len(buf))
}

// LendRoom lends b room for bytes to be sent, if there is plenty.
func (e *Endpoint) LendRoom(b Borrower) {
	if !e.wmu.TryLock() {
		return
	}
	defer e.wmu.Unlock()
	e.lock()
	defer e.unlock()
	if !e.dead && e.sends() && e.plenty() {
		e.lendTo(b)
		b.LendRoom()
	}
}

// lendTo makes b the borrower. mu is held.
func (e *Endpoint) lendTo(b Borrower) {
	if e.borrower != b {
		e.endLoan()
		e.borrower = b
	}
}

// sends reports whether data can be sent, and nobody wants to know when. mu is held.
func (e *Endpoint) sends() bool {
	return (e.state == Established || e.state == CloseWait) && e.err == 0 && e.opts.Stamping.Load()&sock.StampSent == 0 && e.shut&shutSend == 0 && !e.tfo.deferred
}

// plenty reports whether the send buffer is far from full. mu is held.
func (e *Endpoint) plenty() bool {
	return e.opts.SndBuf()-e.snd.q.cost >= 4*pkt.SmallSize && !e.proto.tooMuchMemory()
}

// Settle takes account of what the borrower has read and written, and reports whether it has
// written something; Stack.Run must follow then.
func (e *Endpoint) Settle() (wrote bool) {
	e.lock()
	wrote, e.lentOut = e.lentOut, false
	e.unlock()
	return wrote
}

// Lent reports whether there is a borrower.
func (e *Endpoint) Lent() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.borrower != nil
}

// Recall ends the loan.
func (e *Endpoint) Recall() {
	e.lock()
	e.endLoan()
	e.unlock()
}

// settle is called when mu has been taken and there is a borrower.
func (e *Endpoint) settle() {
	if n := min(e.borrower.Taken(), e.rcv.q.size); n > 0 {
		e.consume(n)
		e.tuneRcvBuf()
		e.afterRead(n)
		e.told = 0
	}
	end := e.snd.end
	e.borrower.Drain((*drain)(e))
	if e.snd.end == end {
		return
	}
	e.lentOut = true
	e.noteSent()
	e.output(false)
	if e.borrower != nil && !(e.sends() && e.plenty()) {
		e.borrower.EndRoom()
	}
}

// drain is an Endpoint to whose send queue a borrower's bytes go, if it still sends.
type drain Endpoint

// Write implements io.Writer. mu is held.
func (d *drain) Write(p []byte) (int, error) {
	e := (*Endpoint)(d)
	if !e.sends() {
		return len(p), nil
	}
	s := &e.snd
	e.checkLimited()
	for b := p; len(b) > 0; {
		f := s.tail()
		if f.Buf == nil {
			f.Buf = pkt.Alloc(len(b))
		}
		n := copy(f.Buf.Bytes()[f.Off:], b)
		b = b[n:]
		f.Len = uint32(n)
		was := s.q.cost
		s.q.add(f)
		e.charge(s.q.cost - was)
		s.end += uint32(n)
	}
	return len(p), nil
}

// endData ends reading without calls, for one who reads otherwise. mu is held.
func (e *Endpoint) endData() {
	if e.borrower != nil {
		e.borrower.EndData()
		e.settle()
	}
}

// endRoom ends writing without calls, for one who writes otherwise. mu is held.
func (e *Endpoint) endRoom() {
	if e.borrower != nil {
		e.borrower.EndRoom()
		e.settle()
	}
}

// endLoan ends the loan. mu is held.
func (e *Endpoint) endLoan() {
	if b := e.borrower; b != nil {
		b.EndData()
		b.EndRoom()
		e.settle()
		e.borrower = nil
	}
}
