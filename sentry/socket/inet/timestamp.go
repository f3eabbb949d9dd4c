package inet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Kinds of time stamps: bits of Socket.timestamps. With both, the finer wins.
const (
	timestampUsec = 1 << iota // SO_TIMESTAMP
	timestampNsec             // SO_TIMESTAMPNS
)

// timestampType is the type of the ancillary message.
func timestampType(kind uint32) int32 {
	if kind&timestampNsec != 0 {
		return unix.SCM_TIMESTAMPNS
	}
	return unix.SCM_TIMESTAMP
}

// timestampValue is a time in ns since the epoch as struct timespec or struct timeval.
func timestampValue(kind uint32, ns int64) []byte {
	p := binary.NativeEndian.AppendUint64(nil, uint64(ns/1e9))
	if kind&timestampNsec != 0 {
		return binary.NativeEndian.AppendUint64(p, uint64(ns%1e9))
	}
	return binary.NativeEndian.AppendUint64(p, uint64(ns%1e9/1000))
}

// setTimestamp is SO_TIMESTAMP and SO_TIMESTAMPNS, each of which replaces the other.
func (s *Socket) setTimestamp(kind uint32, on bool) {
	if !on {
		kind = 0
	}
	s.timestamps.Store(kind)
	s.ep.Options().Timestamp.Store(on)
}
