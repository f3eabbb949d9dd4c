package syscalls

import "casemate/sentry/kernel"

// sysClone is clone(2), whose last two arguments are swapped on arm64.
func sysClone(t *kernel.Task, a kernel.Args) (uint64, error) {
	return clone(t, a[0], a[1], a[2], a[4], a[3])
}
