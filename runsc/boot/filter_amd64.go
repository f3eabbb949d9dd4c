package boot

import "golang.org/x/sys/unix"

// archCalls are the calls that this architecture has besides.
var archCalls = []uintptr{unix.SYS_POLL}
