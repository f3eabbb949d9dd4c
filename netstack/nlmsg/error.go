package nlmsg

import "golang.org/x/sys/unix"

// An AttrError is an error about an attribute of a request. Programs that ask for it
// (NETLINK_EXT_ACK) are told where in the request that is.
type AttrError struct {
	Errno unix.Errno
	data  []byte // of the attribute
}

// At says that err, if it is an errno, is about an attribute, of which data is the value.
func At(err error, data []byte) error {
	if e, ok := err.(unix.Errno); ok && data != nil {
		return &AttrError{e, data}
	}
	return err
}

// Error implements error.
func (e *AttrError) Error() string { return e.Errno.Error() }

// Unwrap returns the errno.
func (e *AttrError) Unwrap() error { return e.Errno }

// Offset is where the attribute stands in r, in bytes; false if it is not one of r's.
func (e *AttrError) Offset(r *Request) (int, bool) {
	// Both are ends of the same array.
	at := cap(r.Whole) - cap(e.data) - unix.SizeofRtAttr
	return at, at >= unix.SizeofNlMsghdr && at < len(r.Whole)
}
