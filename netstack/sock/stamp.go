package sock

import "golang.org/x/sys/unix"

// StampSent are the flags of SO_TIMESTAMPING that ask when what is sent goes and arrives. No device has a clock, so
// there are no others.
const StampSent = unix.SOF_TIMESTAMPING_TX_SOFTWARE | unix.SOF_TIMESTAMPING_TX_SCHED | unix.SOF_TIMESTAMPING_TX_ACK

// Kinds of time stamps: the Info of their ExtendedErr (SCM_TSTAMP_*).
const (
	StampOut   = 0 // it is with the device
	StampQueue = 1 // it is on its way there
	StampACK   = 2 // the peer has acknowledged it
)

// Stamps are the time stamps that a message is to get, of StampSent: those that its ancillary data asks for, or else
// those of the option.
func (o *Options) Stamps(m *Msg) uint32 {
	if m.Control.Has&HasStamps != 0 {
		return m.Control.Stamps & StampSent
	}
	return o.Stamping.Load() & StampSent
}

// StampErr is what the error queue has with a time stamp. key is the number
// of what was sent, if the option asks for numbers.
func (o *Options) StampErr(kind, key uint32) ExtendedErr {
	if o.Stamping.Load()&unix.SOF_TIMESTAMPING_OPT_ID == 0 {
		key = 0
	}
	return ExtendedErr{Errno: unix.ENOMSG, Origin: unix.SO_EE_ORIGIN_TIMESTAMPING, Info: kind, Data: key}
}
