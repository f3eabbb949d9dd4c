package inet

import (
	"casemate/platform/loan"
	"casemate/vfs"
)

// LendData implements loan.Lender, for TCP.
func (s *Socket) LendData(l *loan.Loan) {
	if s.tcp != nil && s.common.Err.Load() == 0 {
		s.tcp.LendData(l)
	}
}

// LendRoom implements loan.Lender, for TCP.
func (s *Socket) LendRoom(l *loan.Loan) {
	if s.tcp != nil && s.common.Err.Load() == 0 {
		s.tcp.LendRoom(l)
	}
}

// Settle implements loan.Lender.
func (s *Socket) Settle() (r loan.Runner, wrote bool) {
	return s.stack, s.tcp != nil && s.tcp.Settle()
}

// Recall implements loan.Lender.
func (s *Socket) Recall() {
	if s.tcp != nil {
		s.tcp.Recall()
	}
}

// Flush implements vfs.Flusher: a descriptor that is closed is not read from any more.
func (s *Socket) Flush(*vfs.Context, *vfs.File) error {
	if s.tcp != nil && s.tcp.Lent() {
		s.tcp.Recall()
		s.stack.Run()
	}
	return nil
}
