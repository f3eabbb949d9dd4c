package loader

import "golang.org/x/sys/unix"

const (
	elfMachine   = unix.EM_AARCH64
	platformName = "aarch64" // AT_PLATFORM
)
