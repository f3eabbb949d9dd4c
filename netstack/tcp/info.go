package tcp

import (
	"encoding/binary"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Info is TCP_INFO, with the bit fields that x/sys's type has no names for.
type Info struct {
	unix.TCPInfo
	SndWscale, RcvWscale uint8
	DeliveryLimited      bool // tcpi_delivery_rate_app_limited
}

// Bytes is the struct tcp_info.
func (i *Info) Bytes() []byte {
	b, err := binary.Append(nil, binary.NativeEndian, &i.TCPInfo)
	if err != nil {
		panic(err) // TCPInfo has fixed-size fields only
	}
	scales, limited := i.SndWscale|i.RcvWscale<<4, byte(0)
	if i.DeliveryLimited {
		limited = 1
	}
	return slices.Insert(b, 6, scales, limited) // binary leaves out the padding in their place
}

// Info is TCP_INFO.
func (e *Endpoint) Info() Info {
	e.lock()
	defer e.mu.Unlock()
	now := e.now()
	us := func(d time.Duration) uint32 { return uint32(d / time.Microsecond) }
	ms := func(at time.Duration) uint32 {
		if at == 0 {
			return 0
		}
		return uint32((now - at) / time.Millisecond)
	}
	r, s := &e.rec, &e.snd
	i := Info{TCPInfo: unix.TCPInfo{State: uint8(e.state)}}
	i.Pacing_rate, i.Max_pacing_rate = e.toldPacingRate(), e.opts.MaxPacingRate.Load()
	if e.state == Listen {
		e.lq.mu.Lock()
		i.Unacked, i.Sacked = uint32(e.lq.accept.len()), uint32(e.lq.backlog)
		e.lq.mu.Unlock()
		return i
	}
	if e.tsOK {
		i.Options |= 1 // TCPI_OPT_TIMESTAMPS
	}
	if e.sackOK {
		i.Options |= 2 // TCPI_OPT_SACK
	}
	if e.wscaleOK {
		i.Options |= 4 // TCPI_OPT_WSCALE
		i.SndWscale, i.RcvWscale = s.wscale, e.rcv.wscale
	}
	if e.ecn.ok {
		i.Options |= 8 // TCPI_OPT_ECN
	}
	if e.ecn.seen {
		i.Options |= 16 // TCPI_OPT_ECN_SEEN
	}
	if e.tfo.dataACK || e.tfo.passive {
		i.Options |= 32 // TCPI_OPT_SYN_DATA
	}
	i.Ca_state, i.Retransmits, i.Probes, i.Backoff = r.ca, uint8(min(r.retries, 255)), uint8(min(r.probes, 255)), e.rtt.backoff
	i.Rto, i.Ato = us(e.rtt.timeout()), us(e.rcv.ato)
	i.Snd_mss, i.Rcv_mss = uint32(max(s.mss, 0)), uint32(e.rcv.mss)
	i.Unacked, i.Sacked, i.Lost, i.Retrans = r.packetsOut, r.sackedOut, r.lostOut, r.retransOut
	i.Last_data_sent, i.Last_data_recv, i.Last_ack_recv = ms(s.lastSend), ms(e.rcv.lastData), ms(s.lastAck)
	i.Pmtu = uint32(e.route.MTU)
	i.Rcv_ssthresh = uint32(e.opts.RcvBuf() / 2)
	i.Rtt, i.Rttvar, i.Min_rtt = us(e.rtt.srtt), us(e.rtt.rttvar), us(e.rtt.min)
	i.Snd_ssthresh, i.Snd_cwnd = uint32(e.cc.ssthresh), uint32(e.cc.cwnd)
	if e.route.Iface != nil {
		i.Advmss = uint32(e.advMSS())
	}
	i.Reordering = 3
	i.Rcv_rtt, i.Rcv_space = us(e.rcv.rtt), uint32(e.rcv.tuneSpace)
	n := &e.info
	i.Total_retrans = n.totalRetrans
	i.Bytes_acked, i.Bytes_received, i.Bytes_sent, i.Bytes_retrans = n.bytesAcked, n.bytesReceived, n.bytesSent, n.bytesRetrans
	i.Segs_out, i.Segs_in, i.Data_segs_in, i.Data_segs_out = n.segsOut, n.segsIn, n.dataSegsIn, n.dataSegsOut
	i.Notsent_bytes, i.Delivered, i.Dsack_dups, i.Reord_seen, i.Rcv_ooopack = uint32(s.unsent()), n.delivered, n.dsackDups, n.reordSeen, n.rcvOOO
	i.Snd_wnd = s.wnd
	if d := &e.rate; d.interval > 0 {
		i.Delivery_rate, i.DeliveryLimited = uint64(float64(d.delivered)*float64(s.mss)/d.interval.Seconds()), d.limited
	}
	return i
}
