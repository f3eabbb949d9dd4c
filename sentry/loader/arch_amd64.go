package loader

import "golang.org/x/sys/unix"

const (
	elfMachine   = unix.EM_X86_64
	platformName = "x86_64" // AT_PLATFORM
)
