package tcp

// An arrival says when the bytes before a sequence number came that the one before does not speak of.
type arrival struct {
	end uint32
	at  int64 // ns since the epoch
}

// noteArrival notes that bytes have come, if a time stamp is wanted of them. mu is held.
func (e *Endpoint) noteArrival() {
	if e.opts.Timestamp.Load() {
		e.rcv.arrivals = append(e.rcv.arrivals, arrival{e.rcv.nxt, e.proto.ip.Wheel.Wall().UnixNano()})
	}
}

// arrived is when the byte before seq came; 0 if that was not noted.
func (r *receiver) arrived(seq uint32) int64 {
	for _, a := range r.arrivals {
		if !before(a.end, seq) {
			return a.at
		}
	}
	return 0
}

// forgetArrivals drops what is known of bytes that have been read.
func (r *receiver) forgetArrivals() {
	for len(r.arrivals) > 0 && !after(r.arrivals[0].end, r.read) {
		r.arrivals = r.arrivals[1:]
	}
}
