package tcp

import (
	"io"

	"casemate/netstack/pkt"
	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// Recv implements sock.Endpoint (recv(2), tcp(7)). MSG_PEEK, MSG_TRUNC (the data
// is dropped), MSG_OOB and MSG_ERRQUEUE are obeyed; MSG_WAITALL is the caller's.
func (e *Endpoint) Recv(w io.Writer, n int, m *sock.Msg) (int, error) {
	m.OutFlags = 0
	m.Addr = sock.Addr{}
	m.Control.Has = 0
	if m.Flags&unix.MSG_ERRQUEUE != 0 {
		return e.recvStamp(m)
	}
	e.rmu.Lock()
	defer e.rmu.Unlock()
	if m.Flags&unix.MSG_OOB != 0 {
		return e.recvOOB(w, n, m)
	}
	peek := m.Flags&unix.MSG_PEEK != 0
	trunc := m.Flags&unix.MSG_TRUNC != 0
	copied, offset := 0, 0 // offset: how far a peek has come
	var cerr error

	e.lock()
	if e.state == Listen {
		e.unlock()
		return 0, unix.ENOTCONN
	}
	r := &e.rcv
	e.endData()
	if n >= pkt.LargeSize && r.q.size < n {
		// More may have come: a larger read costs less than two.
		e.unlock()
		e.proto.ip.Backlog.Poll(0)
		e.lock()
	}
	e.told = 0
	for copied < n {
		avail := r.q.size - offset
		if urg := r.urg; urg == urgValid || urg == urgNotYet || urg == urgRead {
			// Reading stops before the urgent byte; at it, the byte is skipped.
			d := int(int32(r.urgSeq - (r.read + uint32(offset))))
			switch {
			case d == 0 && avail > 0 && urg != urgNotYet:
				if copied > 0 {
					avail = 0
				} else if !e.opts.OOBInline.Load() {
					if peek {
						offset++
						avail--
					} else {
						e.consume(1)
						if urg == urgValid {
							r.urg = urgRead
						}
						continue
					}
				}
			case d > 0 && d < avail:
				avail = d
			case d < 0 && urg == urgRead:
				r.urg = urgNone
			}
		}
		if avail <= 0 {
			break
		}
		i, in := r.q.find(offset)
		f := *r.q.f.at(i)
		b := f.Bytes()[in:]
		b = b[:min(len(b), avail, n-copied)]
		done := len(b)
		if !trunc {
			// The Frag stays where it is while we hold rmu.
			e.unlock()
			done, cerr = w.Write(b)
			e.lock()
			done = min(max(done, 0), len(b))
		}
		copied += done
		if done > 0 && e.opts.Timestamp.Load() {
			if at := r.arrived(r.read + uint32(offset+done)); at != 0 {
				m.Control.Has, m.Control.Time = sock.HasTimestamp, at
			}
		}
		if peek {
			offset += done
		} else if done > 0 {
			e.consume(done)
		}
		if done < len(b) {
			break
		}
		cerr = nil
	}
	if copied > 0 {
		if !peek {
			e.tuneRcvBuf()
			e.afterRead(copied)
			e.told = 0
		}
		e.unlock()
		if !m.Later {
			e.proto.ip.Run()
		}
		return copied, nil
	}
	defer e.unlock()
	if cerr != nil {
		return 0, sock.Fault(cerr)
	}
	if n == 0 {
		return 0, nil
	}
	if e.done {
		return 0, nil
	}
	if err := e.takeErr(); err != nil {
		return 0, err
	}
	if e.shut&shutRecv != 0 && e.rport != 0 {
		return 0, nil
	}
	if e.state == Close {
		return 0, unix.ENOTCONN
	}
	return 0, unix.EAGAIN
}

// consume drops n bytes that have been read. mu is held.
func (e *Endpoint) consume(n int) {
	r := &e.rcv
	was := r.q.cost
	r.q.drop(n)
	e.charge(r.q.cost - was)
	r.read += uint32(n)
	r.forgetArrivals()
}

// recvOOB is recv(2) with MSG_OOB.
func (e *Endpoint) recvOOB(w io.Writer, n int, m *sock.Msg) (int, error) {
	e.lock()
	e.endData()
	r := &e.rcv
	switch {
	case e.opts.OOBInline.Load() || r.urg == urgNone || r.urg == urgRead:
		e.unlock()
		return 0, unix.EINVAL
	case e.state == Close && !e.done:
		e.unlock()
		return 0, unix.ENOTCONN
	case r.urg != urgValid:
		defer e.unlock()
		if e.state == Close || e.shut&shutRecv != 0 {
			return 0, nil
		}
		return 0, unix.EAGAIN
	}
	b := [1]byte{r.urgByte}
	if m.Flags&unix.MSG_PEEK == 0 {
		r.urg = urgRead
	}
	m.OutFlags |= unix.MSG_OOB
	e.unlock()
	if n == 0 {
		m.OutFlags |= unix.MSG_TRUNC
		return 0, nil
	}
	if m.Flags&unix.MSG_TRUNC != 0 {
		return 1, nil
	}
	if k, err := w.Write(b[:]); k < 1 {
		return 0, sock.Fault(err)
	}
	return 1, nil
}

// AtMark is SIOCATMARK (sockatmark(3)).
func (e *Endpoint) AtMark() bool {
	e.lock()
	defer e.mu.Unlock()
	return e.rcv.urg != urgNone && e.rcv.urgSeq == e.rcv.read
}

// Send implements sock.Endpoint (send(2), tcp(7)). EAGAIN when there is no room
// or the connection is being established; EPIPE when our direction is closed
// (the caller sends SIGPIPE). MSG_OOB, MSG_MORE and MSG_EOR are obeyed.
func (e *Endpoint) Send(src io.Reader, n int, m *sock.Msg) (int, error) {
	e.wmu.Lock()
	defer e.wmu.Unlock()
	sent := 0
	e.lock()
	e.endRoom()
	if e.snd.q.size >= pkt.LargeSize {
		// Acknowledgements may have come, for which another thread need not be woken then.
		e.unlock()
		e.proto.ip.Backlog.Poll(0)
		e.lock()
	}
	if m.Flags&unix.MSG_FASTOPEN != 0 && (!e.tfo.started || e.state == Close && e.err == 0) || e.tfo.deferred {
		if e.state == Close || e.tfo.deferred {
			e.unlock()
			return e.sendFirst(src, n, m)
		}
		err := unix.Errno(unix.EISCONN)
		if e.state == SynSent || e.state == SynRecv {
			err = unix.EALREADY
		}
		e.unlock()
		return 0, err
	}
	if err := e.sendCheck(); err != nil {
		e.unlock()
		return 0, err
	}
	s := &e.snd
	e.checkLimited()
	var cerr error
	for sent < n {
		if e.sndFull() {
			e.noSpace = true
			break
		}
		// Where the bytes go: behind the last ones if there is room in their Buf.
		f := s.tail()
		want := n - sent
		if e.opts.SndBuf()-s.q.cost < pkt.LargeSize {
			want = min(want, pkt.MediumSize) // a small buffer is not exceeded by much
		}
		e.unlock()
		f, cerr = take(src, f, n-sent, want)
		got := int(f.Len)
		e.lock()
		if got == 0 {
			f.Buf.Unref()
			break
		}
		if err := e.sendCheck(); err != nil {
			f.Buf.Unref()
			e.unlock()
			if sent > 0 {
				return sent, nil
			}
			return 0, err
		}
		was := s.q.cost
		s.q.add(f)
		e.charge(s.q.cost - was)
		s.end += uint32(got)
		sent += got
		if cerr != nil {
			break
		}
		if sent == n {
			break
		}
		// More is to come: send what makes full segments and go on.
		if s.unsent() >= s.mss {
			e.noteSent()
			e.output(false)
			e.unlock()
			e.proto.ip.Run()
			e.lock()
			if e.state == Close {
				break
			}
		}
	}
	if sent > 0 {
		if m.Flags&unix.MSG_OOB != 0 && sent == n {
			s.up, s.urgent = s.end, true
		}
		if sent == n {
			e.tfo.started = false
		}
		if want := e.opts.Stamps(m); want != 0 && (sent == n || m.Flags&unix.MSG_DONTWAIT != 0) {
			e.askStamps(want)
		}
		e.noteSent()
		if m.Flags&unix.MSG_MORE != 0 && sent == n {
			was := e.cork
			e.cork = true
			e.output(false)
			e.cork = was
		} else {
			e.output(false)
		}
		e.unlock()
		if !m.Later {
			e.proto.ip.Flush(e.hash)
		}
		return sent, nil
	}
	e.unlock()
	switch {
	case n == 0:
		return 0, nil
	case cerr != nil:
		return 0, sock.Fault(cerr)
	}
	return 0, unix.EAGAIN
}

// tail is where bytes behind the last ones go, with a reference, if there is room in their
// Buf; else it has no Buf.
func (s *sender) tail() (f pkt.Frag) {
	if k := s.q.f.len(); k > 0 {
		f, _ = s.q.f.at(k - 1).Room()
	}
	return f
}

// take returns the next bytes of src, at most n: what it lends, up to want, or else what it reads, behind room or in a
// new Buf for want if room has none.
func take(src io.Reader, room pkt.Frag, n, want int) (pkt.Frag, error) {
	if l, ok := src.(pkt.Lender); ok {
		if f, ok := l.Lend(want); ok {
			if room.Buf != nil {
				room.Buf.Unref()
			}
			return f, nil
		}
	}
	if room.Buf == nil {
		room.Buf = pkt.Alloc(want)
	}
	b := room.Buf.Bytes()[room.Off:]
	got, err := io.ReadFull(src, b[:min(len(b), n)])
	room.Len = uint32(max(got, 0))
	return room, err
}

// noteSent marks the connection as interactive when data follows data received
// a short while ago: delayed ACKs can then ride on answers.
func (e *Endpoint) noteSent() {
	if r := &e.rcv; r.ackDue && e.now()-r.lastData < max(r.ato, delackMin) {
		r.pingpong = true
	}
}

// sendCheck is why nothing can be sent now. mu is held.
func (e *Endpoint) sendCheck() error {
	switch e.state {
	case Established, CloseWait:
		if e.err == 0 && e.shut&shutSend == 0 {
			return nil
		}
	case SynSent, SynRecv:
		if e.state == SynRecv && e.tfo.passive && e.err == 0 && e.shut&shutSend == 0 {
			return nil
		}
		if err := e.takeErr(); err != nil {
			return err
		}
		if e.shut&shutSend != 0 {
			return unix.EPIPE
		}
		e.noSpace = true
		return unix.EAGAIN
	}
	if err := e.takeErr(); err != nil {
		return err
	}
	return unix.EPIPE
}

// sndFull reports whether the send buffer takes no more.
func (e *Endpoint) sndFull() bool {
	return e.snd.q.cost >= e.opts.SndBuf() || e.snd.q.cost > 65536 && e.proto.tooMuchMemory()
}

// Flush sends a partial segment that TCP_CORK or MSG_MORE holds back.
func (e *Endpoint) Flush() {
	e.lock()
	e.output(true)
	e.unlock()
	e.proto.ip.Run()
}
