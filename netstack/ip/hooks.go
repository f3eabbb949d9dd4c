package ip

import "casemate/netstack/pkt"

// RawHandler sees packets for this host before their transport protocol does
// (raw(7)). It must not keep p: it clones it.
type RawHandler interface {
	// RawInput reports whether a socket took the packet.
	RawInput(p *pkt.Packet) bool
	RawError(e *Error)
}

// EchoHandler takes echo replies for ping sockets (icmp(7)). It must not keep p.
type EchoHandler interface {
	EchoReply(p *pkt.Packet)
}

// SetRaw sets who sees all packets for this host. It is called before the
// first packet.
func (s *Stack) SetRaw(h RawHandler) { s.raw = h }

// SetEcho sets who gets echo replies. It is called before the first packet.
func (s *Stack) SetEcho(h EchoHandler) { s.echo = h }

func (s *Stack) rawInput(p *pkt.Packet) bool { return s.raw != nil && s.raw.RawInput(p) }

func (s *Stack) rawError(e *Error) {
	if s.raw != nil {
		s.raw.RawError(e)
	}
}

func (s *Stack) pingInput(p *pkt.Packet) {
	if s.echo != nil {
		s.echo.EchoReply(p)
	}
}
