package loader

import "golang.org/x/sys/unix"

// Limits of execve(2).
const (
	maxArgStrlen = 32 * 4096 // MAX_ARG_STRLEN: one string with its NUL
	argMax       = 32 * 4096 // ARG_MAX: room that there is however small the stack
	maxArgs      = 6 << 20   // three quarters of the usual stack
	pointerSize  = 8
)

// argumentRoom is how many bytes of strings fit, of argc arguments and envc
// environment strings: a quarter of the stack's limit less the pointers to them.
// E2BIG if the pointers alone do not fit.
func argumentRoom(stackLimit uint64, argc, envc int) (uint64, error) {
	room := max(min(maxArgs, stackLimit/4), argMax)
	pointers := (uint64(max(argc, 1)) + uint64(envc)) * pointerSize
	if room <= pointers {
		return 0, unix.E2BIG
	}
	return room - pointers, nil
}

// take takes the room of strings. E2BIG if it or one of them is too large.
func take(room *uint64, strings ...string) error {
	for _, s := range strings {
		n := uint64(len(s)) + 1
		if n > maxArgStrlen || n > *room {
			return unix.E2BIG
		}
		*room -= n
	}
	return nil
}

// stringsLength is the number of bytes of strings with their NULs.
func stringsLength(strings []string) uint64 {
	n := uint64(len(strings))
	for _, s := range strings {
		n += uint64(len(s))
	}
	return n
}
