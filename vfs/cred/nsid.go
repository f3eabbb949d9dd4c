package cred

import "sync/atomic"

// Numbers of namespaces, as Linux has them (proc_ns.h): that of the initial user namespace, and
// the first of those that are given out.
const (
	initialUserNSID  = 0xeffffffd // PROC_USER_INIT_INO
	firstNamespaceID = 0xf0000000 // PROC_DYNAMIC_FIRST
)

var namespaces atomic.Uint64

// NextNamespaceID returns a number that no other namespace of any kind has: by it
// /proc/PID/ns and stat(2) show the namespace. Younger ones have greater numbers.
func NextNamespaceID() uint64 { return firstNamespaceID + namespaces.Add(1) - 1 }
