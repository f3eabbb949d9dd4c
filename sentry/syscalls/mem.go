package syscalls

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"casemate/sentry/clock"
	"casemate/sentry/kernel"
)

var le = binary.LittleEndian

// copyIn fills p from addr.
func copyIn(t *kernel.Task, addr uint64, p []byte) error {
	_, err := t.Memory().CopyIn(p, addr)
	return err
}

// copyOut writes p to addr.
func copyOut(t *kernel.Task, addr uint64, p []byte) error {
	_, err := t.Memory().CopyOut(addr, p)
	return err
}

// putUint32 writes one 32-bit word.
func putUint32(t *kernel.Task, addr uint64, v uint32) error {
	var b [4]byte
	le.PutUint32(b[:], v)
	return copyOut(t, addr, b[:])
}

// putUint64 writes one 64-bit word.
func putUint64(t *kernel.Task, addr uint64, v uint64) error {
	var b [8]byte
	le.PutUint64(b[:], v)
	return copyOut(t, addr, b[:])
}

// getUint32 reads one 32-bit word.
func getUint32(t *kernel.Task, addr uint64) (uint32, error) {
	var b [4]byte
	err := copyIn(t, addr, b[:])
	return le.Uint32(b[:]), err
}

// getUint64 reads one 64-bit word.
func getUint64(t *kernel.Task, addr uint64) (uint64, error) {
	var b [8]byte
	err := copyIn(t, addr, b[:])
	return le.Uint64(b[:]), err
}

// maxSeconds is how many seconds fit into ns.
const maxSeconds = clock.Never / 1e9

// timespecNS converts a timespec to ns, which is clock.Never if it is too long.
// EINVAL if it is not valid.
func timespecNS(sec, nsec int64) (int64, error) {
	if sec < 0 || nsec < 0 || nsec >= 1e9 {
		return 0, unix.EINVAL
	}
	if sec >= maxSeconds {
		return clock.Never, nil
	}
	return sec*1e9 + nsec, nil
}

// getTimespec reads a struct timespec as ns. EFAULT, EINVAL.
func getTimespec(t *kernel.Task, addr uint64) (int64, error) {
	var b [16]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return 0, err
	}
	return timespecNS(int64(le.Uint64(b[0:])), int64(le.Uint64(b[8:])))
}

// putTimespec writes ns as a struct timespec.
func putTimespec(t *kernel.Task, addr uint64, ns int64) error {
	var b [16]byte
	encodeTimespec(b[:], ns)
	return copyOut(t, addr, b[:])
}

func encodeTimespec(b []byte, ns int64) {
	le.PutUint64(b[0:], uint64(ns/1e9))
	le.PutUint64(b[8:], uint64(ns%1e9))
}

// getTimeval reads a struct timeval as ns. EFAULT, EINVAL.
func getTimeval(t *kernel.Task, addr uint64) (int64, error) {
	var b [16]byte
	if err := copyIn(t, addr, b[:]); err != nil {
		return 0, err
	}
	return timevalNS(b[:])
}

func timevalNS(b []byte) (int64, error) {
	sec, usec := int64(le.Uint64(b[0:])), int64(le.Uint64(b[8:]))
	if usec < 0 || usec >= 1e6 {
		return 0, unix.EINVAL
	}
	return timespecNS(sec, usec*1000)
}

func encodeTimeval(b []byte, ns int64) {
	le.PutUint64(b[0:], uint64(ns/1e9))
	le.PutUint64(b[8:], uint64(ns%1e9/1000))
}

// maxString is the longest single argument of execve(2), MAX_ARG_STRLEN.
const maxString = 32 * 4096

// maxStrings is how many arguments execve(2) takes at most (MAX_ARG_STRINGS).
const maxStrings = 0x7fffffff

// maxStringBytes bounds all the arguments of execve(2) together: more than any
// stack limit lets through.
const maxStringBytes = 6 << 20

// getStrings reads a NULL-terminated array of strings. E2BIG, EFAULT.
func getStrings(t *kernel.Task, addr uint64) ([]string, error) {
	if addr == 0 {
		return nil, nil
	}
	var list []string
	total := 0
	for i := uint64(0); i < maxStrings; i++ {
		p, err := getUint64(t, addr+8*i)
		if err != nil {
			return nil, err
		}
		if p == 0 {
			return list, nil
		}
		s, err := t.Memory().CopyInString(p, maxString)
		if err == unix.ENAMETOOLONG {
			err = unix.E2BIG
		}
		if err != nil {
			return nil, err
		}
		list = append(list, s)
		total += len(s) + 1 + 8
		if total > maxStringBytes {
			return nil, unix.E2BIG
		}
	}
	return nil, unix.E2BIG
}

// getPath reads a path. EFAULT, ENAMETOOLONG.
func getPath(t *kernel.Task, addr uint64) (string, error) {
	return t.Memory().CopyInString(addr, unix.PathMax)
}
