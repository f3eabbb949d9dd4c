package platform

import "sync/atomic"

var wakes atomic.Uint64

// NoteWake is to be called by who has just made a goroutine runnable that is
// parked in an upcall (after Context.Blocking). A platform lets such goroutines
// run before it waits for the next event on the same thread: a wake-up that
// crosses processors costs ten times as much. It does not block.
func NoteWake() { wakes.Add(1) }

// Wakes returns how often NoteWake was called.
func Wakes() uint64 { return wakes.Load() }
