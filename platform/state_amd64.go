package platform

// Syscall returns the number and the arguments of the system call that the
// Context has made.
func (s *State) Syscall() (nr uint64, args [6]uint64) {
	r := &s.Regs
	return r.Orig_rax, [6]uint64{r.Rdi, r.Rsi, r.Rdx, r.R10, r.R8, r.R9}
}

// SetReturn sets the value that the system call returns: a result, or a negated
// errno.
func (s *State) SetReturn(v uint64) { s.Regs.Rax = v }

// Return is the value that SetReturn has set.
func (s *State) Return() uint64 { return s.Regs.Rax }

// IP returns the instruction pointer.
func (s *State) IP() uint64 { return s.Regs.Rip }

// SetIP sets the instruction pointer. It is taken back only when Full.
func (s *State) SetIP(v uint64) { s.Regs.Rip = v }

// SP returns the stack pointer. Valid only when Full.
func (s *State) SP() uint64 { return s.Regs.Rsp }

// SetSP sets the stack pointer. It is taken back only when Full.
func (s *State) SetSP(v uint64) { s.Regs.Rsp = v }

// SetTLS sets the base of the thread-local storage segment. Taken back only when
// Full.
func (s *State) SetTLS(v uint64) { s.Regs.Fs_base = v }

// TLS returns the base of the thread-local storage segment. Valid only when Full.
func (s *State) TLS() uint64 { return s.Regs.Fs_base }

// RestartSyscall sets the registers so that the system call nr, which has just
// returned, is made again. State.Full holds.
func (s *State) RestartSyscall(nr uint64) {
	s.Regs.Rax = nr
	s.Regs.Rip -= 2
}
