package platform

// Syscall returns the number and the arguments of the system call that the
// Context has made.
func (s *State) Syscall() (nr uint64, args [6]uint64) {
	r := &s.Regs.Regs
	return r[8], [6]uint64{r[0], r[1], r[2], r[3], r[4], r[5]}
}

// SetReturn sets the value that the system call returns: a result, or a negated
// errno.
func (s *State) SetReturn(v uint64) { s.Regs.Regs[0] = v }

// Return is the value that SetReturn has set.
func (s *State) Return() uint64 { return s.Regs.Regs[0] }

// IP returns the instruction pointer.
func (s *State) IP() uint64 { return s.Regs.Pc }

// SetIP sets the instruction pointer. It is taken back only when Full.
func (s *State) SetIP(v uint64) { s.Regs.Pc = v }

// SP returns the stack pointer. Valid only when Full.
func (s *State) SP() uint64 { return s.Regs.Sp }

// SetSP sets the stack pointer. It is taken back only when Full.
func (s *State) SetSP(v uint64) { s.Regs.Sp = v }
