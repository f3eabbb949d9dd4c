package nlmsg

import "golang.org/x/sys/unix"

// An AttrError is an error about an attribute of a request. Programs that ask for it
// (NETLINK_EXT_ACK) are told where in the request that is, and what there is to say of it.
type AttrError struct {
	Errno   unix.Errno
	Message string // may be empty
	data    []byte // of the attribute; nil if it is about none
}

// At says that err, if it is an errno, is about an attribute, of which data is the value.
func At(err error, data []byte) error {
	if e, ok := err.(unix.Errno); ok && data != nil {
		return &AttrError{Errno: e, data: data}
	}
	return err
}

// Refuse is an error with a message for the user, about the attribute of which data is the value, if it is
// not nil.
func Refuse(errno unix.Errno, data []byte, message string) error {
	return &AttrError{Errno: errno, Message: message, data: data}
}

// Error implements error.
func (e *AttrError) Error() string { return e.Errno.Error() }

// Unwrap returns the errno.
func (e *AttrError) Unwrap() error { return e.Errno }

// Offset is where the attribute stands in r, in bytes; false if it is not one of r's.
func (e *AttrError) Offset(r *Request) (int, bool) {
	if e.data == nil {
		return 0, false
	}
	// Both are ends of the same array.
	at := cap(r.Whole) - cap(e.data) - unix.SizeofRtAttr
	return at, at >= unix.SizeofNlMsghdr && at < len(r.Whole)
}
