package gofer

// pause tells the processor n times, n > 0, that this is a spin loop.
//
//go:noescape
func pause(n uint32)
