// Package refs has what counts of references share.
package refs

import "sync/atomic"

// TryInc takes a reference of a count, or reports that the last has gone. It does not block.
func TryInc(count *atomic.Int64) bool {
	for {
		n := count.Load()
		if n <= 0 {
			return false
		}
		if count.CompareAndSwap(n, n+1) {
			return true
		}
	}
}
