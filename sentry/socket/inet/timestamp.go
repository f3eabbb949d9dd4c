package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/netstack/sock"
)

// Options for time stamps with 64 bits on all architectures, for which x/sys has names on
// some only. The ancillary message of each has the option's number as its type.
const (
	soTimestampNew    = 63 // SO_TIMESTAMP_NEW
	soTimestampNSNew  = 64 // SO_TIMESTAMPNS_NEW
	soTimestampingNew = 65 // SO_TIMESTAMPING_NEW
)

// received are the flags of SO_TIMESTAMPING that ask for, and report, when the stack has
// received a packet.
const received = unix.SOF_TIMESTAMPING_RX_SOFTWARE | unix.SOF_TIMESTAMPING_SOFTWARE

// setTimestamp is SO_TIMESTAMP and its like, each of which replaces the others.
func (s *Socket) setTimestamp(name int, on bool) {
	if !on {
		name = 0
	}
	s.timestamps.Store(uint32(name))
	s.wantTimestamps()
}

// setTimestamping is SO_TIMESTAMPING: EINVAL for flags that Linux does not know,
// EOPNOTSUPP for stamps of what is sent or by a device.
func (s *Socket) setTimestamping(name int, flags uint32) error {
	const known = unix.SOF_TIMESTAMPING_LAST<<1 - 1
	switch {
	case flags&^known != 0:
		return unix.EINVAL
	case flags&^received != 0:
		return unix.EOPNOTSUPP
	}
	s.timestamping.Store(flags)
	s.timestampingType.Store(uint32(name))
	s.wantTimestamps()
	return nil
}

func (s *Socket) wantTimestamps() {
	s.ep.Options().Timestamp.Store(s.timestamps.Load() != 0 || s.timestamping.Load() == received)
}

// timestampItems adds the ancillary messages that tell when a packet was received.
func (s *Socket) timestampItems(c *sock.Control, add func(level, typ int32, data []byte)) {
	sec, ns := uint64(c.Time/1e9), uint64(c.Time%1e9)
	pair := func(a, b uint64) []byte {
		return binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, a), b)
	}
	switch name := s.timestamps.Load(); name {
	case unix.SO_TIMESTAMP, soTimestampNew:
		add(unix.SOL_SOCKET, int32(name), pair(sec, ns/1000))
	case unix.SO_TIMESTAMPNS, soTimestampNSNew:
		add(unix.SOL_SOCKET, int32(name), pair(sec, ns))
	}
	if s.timestamping.Load() == received {
		// Of the three times the others are a device's.
		add(unix.SOL_SOCKET, int32(s.timestampingType.Load()), append(pair(sec, ns), make([]byte, 32)...))
	}
}
