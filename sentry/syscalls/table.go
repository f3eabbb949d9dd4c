package syscalls

import (
	"sync"

	"casemate/sentry/kernel"
)

// full is the entry of a call that does all that Linux's does. args are strace
// formats.
func full(name string, fn kernel.Handler, args string) kernel.Entry {
	return kernel.Entry{Name: name, Fn: fn, Support: kernel.Full, Args: args}
}

// partial is the entry of a call that lacks what note says.
func partial(name string, fn kernel.Handler, args, note string) kernel.Entry {
	return kernel.Entry{Name: name, Fn: fn, Support: kernel.Partial, Args: args, Note: note}
}

// absent is the entry of a call that gives ENOSYS.
func absent(name, args, note string) kernel.Entry {
	return kernel.Entry{Name: name, Args: args, Note: note}
}

// Table returns the system calls of this architecture.
var Table = sync.OnceValue(func() *kernel.Table {
	list := entries()
	for _, nr := range needsFull {
		list[nr].NeedsFull = true
	}
	return kernel.NewTable(list)
})
