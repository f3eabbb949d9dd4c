package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
	"casemate/sentry/socket"
	"casemate/vfs"
)

// Options for time stamps with 64 bits on all architectures, for which x/sys has names on
// some only. The ancillary message of each has the option's number as its type.
const (
	soTimestampNew    = 63 // SO_TIMESTAMP_NEW
	soTimestampNSNew  = 64 // SO_TIMESTAMPNS_NEW
	soTimestampingNew = 65 // SO_TIMESTAMPING_NEW
)

// Flags of SO_TIMESTAMPING that x/sys does not name.
const (
	timestampingOptIDTCP    = 1 << 16 // SOF_TIMESTAMPING_OPT_ID_TCP
	timestampingOptRxFilter = 1 << 17 // SOF_TIMESTAMPING_OPT_RX_FILTER
	timestampingKnown       = 1<<18 - 1

	// Those that ask for stamps of what is sent.
	timestampingTx = unix.SOF_TIMESTAMPING_TX_HARDWARE | sock.StampSent
)

// setTimestamp is SO_TIMESTAMP and its like, each of which replaces the others.
func (s *Socket) setTimestamp(name int, on bool) {
	if !on {
		name = 0
	}
	s.timestamps.Store(uint32(name))
	s.wantTimestamps()
}

// setTimestamping is SO_TIMESTAMPING: EINVAL for flags that Linux does not know, or not without
// others, or numbers without a connection; EOPNOTSUPP for stamps of what raw sockets send. No device has a clock.
func (s *Socket) setTimestamping(name int, flags uint32) error {
	switch {
	case flags&^timestampingKnown != 0,
		flags&timestampingOptIDTCP != 0 && flags&unix.SOF_TIMESTAMPING_OPT_ID == 0,
		flags&unix.SOF_TIMESTAMPING_OPT_STATS != 0 && flags&unix.SOF_TIMESTAMPING_OPT_TSONLY == 0:
		return unix.EINVAL
	case flags&timestampingTx != 0 && s.tcp == nil && s.udp == nil:
		return unix.EOPNOTSUPP
	}
	numbered, ok := s.ep.(interface{ NumberStamps(written bool) error })
	if flags&^s.timestamping.Load()&unix.SOF_TIMESTAMPING_OPT_ID != 0 && ok {
		if err := numbered.NumberStamps(flags&timestampingOptIDTCP != 0); err != nil {
			return err
		}
	}
	s.timestamping.Store(flags)
	s.ep.Options().Stamping.Store(flags)
	if s.tcp != nil {
		s.tcp.Recall() // what is written without a call is not stamped
	}
	s.timestampingType.Store(uint32(name))
	s.wantTimestamps()
	return nil
}

func (s *Socket) wantTimestamps() {
	s.ep.Options().Timestamp.Store(s.timestamps.Load() != 0 || s.timestamping.Load()&unix.SOF_TIMESTAMPING_RX_SOFTWARE != 0 || s.lastStamp.Load() != 0)
}

// tellsStamps reports whether SO_TIMESTAMPING tells of what stamps there are, of what is received or, if sent, sent.
func (s *Socket) tellsStamps(sent bool) bool {
	flags := s.timestamping.Load()
	return flags&unix.SOF_TIMESTAMPING_SOFTWARE != 0 && (sent || flags&timestampingOptRxFilter == 0 || flags&unix.SOF_TIMESTAMPING_RX_SOFTWARE != 0)
}

// parseStamps reads what ancillary data says of the stamps of a message. EINVAL.
func parseStamps(data []byte, c *sock.Control) error {
	v, err := socket.ToInt(data)
	if err != nil || v&^timestampingTx != 0 {
		return unix.EINVAL
	}
	c.Has |= sock.HasStamps
	c.Stamps = uint32(v)
	return nil
}

// stamp is SIOCGSTAMP and its like: when the packet came that was last received. Who asks for the
// first time gets ENOENT: from then on it is known.
func (s *Socket) stamp(ctx *vfs.Context, cmd uint32, arg uint64) error {
	at := s.lastStamp.Load()
	if at == 0 {
		s.lastStamp.Store(-1)
		s.wantTimestamps()
	}
	if at <= 0 {
		return unix.ENOENT
	}
	unit := int64(1)
	if cmd == unix.SIOCGSTAMP_OLD || cmd == unix.SIOCGSTAMP_NEW {
		unit = 1000
	}
	_, err := ctx.Mem.CopyOut(arg, timePair(at, unit))
	return err
}

// timePair is a time in ns as seconds and a number of smaller units of so many ns.
func timePair(at, unit int64) []byte {
	return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, uint64(at/1e9)), uint64(at%1e9/unit))
}

// timestampItems adds the ancillary messages that tell when a packet was received, or sent.
func (s *Socket) timestampItems(c *sock.Control, add func(level, typ int32, data []byte)) {
	switch name := s.timestamps.Load(); name {
	case unix.SO_TIMESTAMP, soTimestampNew:
		add(unix.SOL_SOCKET, int32(name), timePair(c.Time, 1000))
	case unix.SO_TIMESTAMPNS, soTimestampNSNew:
		add(unix.SOL_SOCKET, int32(name), timePair(c.Time, 1))
	}
	if s.tellsStamps(c.Has&sock.HasError != 0) {
		// Of the three times the others are a device's.
		add(unix.SOL_SOCKET, int32(s.timestampingType.Load()), append(timePair(c.Time, 1), make([]byte, 32)...))
	}
}
