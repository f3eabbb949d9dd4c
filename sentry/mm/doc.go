// Package mm is memory management: the address space of a process, its mappings,
// the memory behind them, page faults, and the sentry's access to application
// memory.
//
// A MemoryManager has VMAs (what the application asked for: mmap(2)) and backings
// (where the bytes are: a range of the memory file, or a piece of a host file).
// The host's side of the address space is a platform.AddressSpace, in which a
// backing may or may not be mapped. These invariants hold whenever the lock is
// free:
//
//   - every backing lies in a VMA;
//   - what the host maps at an address is the backing there, with no more rights
//     than the VMA grants; never writable while the backing is shared
//     copy-on-write or a file's page under a private mapping;
//   - a range of the memory file is released, and a file told that it is mapped
//     no more, only after the host's mapping has gone.
//
// A backing is mapped as early as it can be: anonymous memory whole at mmap, as a
// range of the sparse memory file, so that touching it is the host kernel's page
// fault and no event for the sentry; files likewise, read-only while private.
// What is left to HandleFault is copy-on-write, stack growth, huge and
// invalidated mappings.
//
// Until the platform's address space is asked for (AddressSpace), nothing runs in
// it, and changes are only collected: execve and fork need one hand-off for all.
//
// Memory for neighbouring addresses is taken from neighbouring offsets of the
// memory file (see ahead), for the host joins its mappings only then, and it
// allows a process about 65,530 of them.
//
// # Locks
//
// MemoryManager.mu guards all. It is held for reading by copies to and from
// application memory, for writing by everything else, also while the platform
// changes the host's side. Below it come a mapped file's own mapping lock
// (vfs.Mappable) and the memory file's. A file that invalidates mappings calls
// InvalidateMapping without its own lock. Fork takes the parent's lock; nothing
// else knows the child yet. References to files are dropped after mu is released,
// as that may close a file.
package mm
