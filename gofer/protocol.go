package gofer

// The layout of the connection. PROTOCOL.md draws it.
const (
	magic   = 0x46474d43 // "CMGF" in little-endian order
	version = 2

	helloSize = 32 // bytes of the message that opens a connection

	numSlots  = 16        // requests that may be in flight at once
	reqArea   = 72 << 10  // bytes of one slot's request area: an xattr value and its names
	replyArea = 128 << 10 // bytes of one slot's reply area: about 900 directory entries

	headerArea  = 4096 // bytes of the control page at the start of the memory
	offPending  = 0    // uint32: bit i set, slot i holds a request
	offPolling  = 64   // uint32: pollServer, pollClient
	offState    = 128  // uint32 of slot i at offState + i*stateStride
	stateStride = 64   // one cache line a slot

	memSize = headerArea + numSlots*(reqArea+replyArea)
)

// The states of a slot. Only the client writes idle, posted and waiting, only
// the server writes done; closed is the client's own mark that the server is
// gone.
//
//	idle ─post─> posted ─server─> done ─client─> idle
//	               │                ▲
//	            (sleep)             │
//	               └──> waiting ────┘
const (
	stateIdle    = 0
	statePosted  = 1
	stateWaiting = 2 // posted, and the client sleeps on the state word
	stateDone    = 3
	stateClosed  = 4
)

// helloWatches is the flag of the greeting that says that the last descriptor is an inotify
// instance.
const helloWatches = 1

const (
	reqHeader   = 8 // op uint16, releases uint16, body length uint32
	replyHeader = 8 // errno uint32, body length uint32

	attrSize = 112 // bytes of an encoded Attr

	maxName     = 255  // NAME_MAX
	maxLink     = 4095 // PATH_MAX less the NUL: the longest symbolic link
	maxWalk     = 64   // components of one walk
	maxGetattr  = 256  // targets of one getattr
	maxReleases = 64   // handles released along with one request
	maxXattr    = 64 << 10
)

// What the polling word says.
const (
	pollServer = 1 << iota // a worker polls the pending word: no need to wake one
	pollClient             // a processor is free: the client does well to poll
)

// The bits by which workers sleep on the pending word. The first worker is
// woken before all others, so that while one request is made at a time it is
// always the same thread that serves, on the processor where it ran before.
const (
	firstWorker = 1 << iota
	otherWorker
)

// op is a request's operation.
type op uint16

const (
	opAttach op = 1 + iota
	opWalk
	opGetattr
	opReaddir
	opOpen
	opCreate
	opMkdir
	opSymlink
	opLink
	opMknod
	opUnlink
	opRename
	opSetattr
	opReadlink
	opStatfs
	opSync
	opFallocate
	opGetxattr
	opSetxattr
	opListxattr
	opRemovexattr
	opRelease
	opConnect
	opTmpfile
	numOps
)

// Flags of a tree, as the attach reply carries them.
const (
	treeReadOnly = 1 << iota
	treeShared
	treeConnect
)

// walkHandles asks a walk for a handle of the last component even if it is
// not a directory.
const walkHandles = 1

// Why a walk ended before its last component.
const (
	stopNone    = 0 // every component was found
	stopMissing = 1 // the next component does not exist
	stopSymlink = 2 // the last entry is a symbolic link; its target follows
	stopNotDir  = 3 // the last entry is not a directory
	stopError   = 4 // the next component failed with the errno in the reply
)

// What a sync request writes back.
const (
	syncFile = iota // fsync(2)
	syncData        // fdatasync(2)
	syncFS          // syncfs(2)
)
