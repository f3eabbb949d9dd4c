package kernel

// Args are the six arguments of a system call as the registers hold them.
// The methods convert as the C prototype does: an int argument is the low 32 bits.
type Args [6]uint64

// Ptr is argument i as an address.
func (a *Args) Ptr(i int) uint64 { return a[i] }

// Int is argument i as an int, a pid_t, a file descriptor.
func (a *Args) Int(i int) int32 { return int32(a[i]) }

// Uint is argument i as an unsigned int, a mode_t, a uid_t.
func (a *Args) Uint(i int) uint32 { return uint32(a[i]) }

// Long is argument i as a long, an off_t.
func (a *Args) Long(i int) int64 { return int64(a[i]) }

// Size is argument i as a size_t, an unsigned long.
func (a *Args) Size(i int) uint64 { return a[i] }

// Mode is argument i as the permission bits of a mode_t.
func (a *Args) Mode(i int) uint32 { return uint32(a[i]) & 0o7777 }
