package boot

// archCalls are the calls that this architecture has besides.
var archCalls []uintptr
