package cred

import "golang.org/x/sys/unix"

// A Capability is the number of a capability, unix.CAP_CHOWN and so on.
type Capability uint

// LastCap is the highest capability that the kernel knows (cap_last_cap).
const LastCap Capability = unix.CAP_LAST_CAP

// Valid reports whether the kernel knows c.
func (c Capability) Valid() bool { return c <= LastCap }

// A CapSet is a set of capabilities; bit n stands for capability n, as in
// /proc/PID/status.
type CapSet uint64

// AllCaps is the set of all capabilities.
const AllCaps CapSet = 1<<(LastCap+1) - 1

// Has reports whether c is in s.
func (s CapSet) Has(c Capability) bool { return s>>c&1 != 0 }

// FilesystemCaps are the capabilities that follow fsuid: they are dropped from,
// or restored to, the effective set when the file system uid changes between
// zero and non-zero (capabilities(7), "Effect of user ID changes").
const FilesystemCaps = CapSet(1<<unix.CAP_CHOWN | 1<<unix.CAP_MKNOD | 1<<unix.CAP_DAC_OVERRIDE |
	1<<unix.CAP_DAC_READ_SEARCH | 1<<unix.CAP_FOWNER | 1<<unix.CAP_FSETID |
	1<<unix.CAP_LINUX_IMMUTABLE | 1<<unix.CAP_MAC_OVERRIDE)
