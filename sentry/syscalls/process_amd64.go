package syscalls

import "casemate/sentry/kernel"

// sysClone is clone(2).
func sysClone(t *kernel.Task, a kernel.Args) (uint64, error) {
	return clone(t, a[0], a[1], a[2], a[3], a[4])
}
