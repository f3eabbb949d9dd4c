package arch

// FPStateSize is the size in bytes of a thread's extended state: struct
// user_fpsimd_state (32 vector registers of 16 bytes, fpsr, fpcr, padding).
func FPStateSize() int { return 528 }

// NewFPState returns the extended state with which execve(2) starts a program.
func NewFPState() []byte { return make([]byte, FPStateSize()) }

// InitFPState sets p, which has FPStateSize bytes, to the extended state with
// which execve(2) starts a program.
func InitFPState(p []byte) { clear(p) }
