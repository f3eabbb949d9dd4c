package tcp

import (
	"casemate/netstack/sock"
	"golang.org/x/sys/unix"
)

// Abort ends a listener or a connection as an administrator has it done (sock_diag(7), SOCK_DESTROY): the peer gets a
// RST, and who has the socket ECONNABORTED when it has read what had come before. ENOENT if it is closed already.
func (e *Endpoint) Abort() error {
	e.lock()
	switch e.state {
	case Close:
		e.unlock()
		return unix.ENOENT
	case Listen:
		e.unlock()
		e.stopListening()
		e.lock()
	}
	rst := e.state != Closing && e.state != LastAck
	if e.dead && e.state == FinWait2 {
		rst = false // to Linux this is much like TIME-WAIT
	}
	e.err = unix.ECONNABORTED
	e.pend |= unix.POLLERR
	e.abort(rst)
	e.unlock()
	e.proto.ip.Flush(e.hash)
	return nil
}

// Forget drops what there is of a connection that has no endpoint: a request, or TIME-WAIT. ENOENT.
func (p *Protocol) Forget(local, remote sock.Addr) error {
	id := tuple{laddr: local.Addr.As16(), raddr: remote.Addr.As16(), lport: local.Port, rport: remote.Port}
	switch c := p.lookup(&id); {
	case c.req != nil:
		c.req.drop()
	case c.tw != nil:
		c.tw.expire()
	default:
		return unix.ENOENT
	}
	return nil
}
