package systrap

// Where things are in the address space of a stub process. Everything from
// stubStart is the platform's.
const (
	stubStart = 0x7fff00000000       // all areas have the same upper half (filter_amd64.go)
	stubText  = stubStart            // the stub's code, one page
	stubTitle = stubText + 0x1000    // what the host's list of processes shows, one page
	stubTable = stubStart + 0x100000 // stack_t of every slot, read-only
	stubAreas = stubStart + 0x1000000
	stubEnd   = 0x7ffffffff000 // TASK_SIZE_MAX with four levels of page tables
)

// An area is a thread's piece of memory that it shares with the sentry: a page
// for the command, the thread's desk (package loan), and the alternate signal stack. A slot is the number of an
// area in its process. Areas are handed out to processes by the chunk, mapped at
// the same address in all of them.
const (
	areaSize   = 0x20000
	commandEnd = 0x1000
	deskStart  = commandEnd
	stackSize  = 0x3000
	stackStart = areaSize - stackSize // offset of the alternate signal stack in an area

	chunkSlots = 64
	chunkSize  = chunkSlots * areaSize
	maxChunks  = (stubEnd - stubAreas) / chunkSize
	maxSlots   = maxChunks * chunkSlots
)

// What is where in the first page of an area.
const (
	areaFSBase = 0
	areaGSBase = 8
	areaSelf   = 16 // the area's own address

	// A call of a patched site: one cache line for the request and the answer,
	// one that is the stub's own, one that seldom changes.
	areaRequest = 64
	areaNr      = 68
	areaIP      = 72 // of the return; then the result
	areaArgs    = 80
	areaSP      = 128
	areaFlags   = 136
	areaReturn  = 144
	areaPoll    = 192 // not 0: the sentry polls areaRequest
	areaSpin    = 196 // how often the stub looks for the answer before it sleeps
	areaLent    = 200 // not 0: the desk is in use
	areaDirty   = 256 // the desk's slots that have been used, a bit each

	areaCalls = 320
	maxCalls  = (commandEnd - areaCalls) / callSize
	callSize  = 64
)

// Offsets in the stub, and what seccomp and signals report as the instruction
// pointer of its system calls (2 is the instruction's length).
const (
	stubSize     = 0xb80
	stubTextSize = 0x1000

	offHandler    = 0x000
	offHandoff    = 0x100
	offSigreturn  = 0x200
	offLoad       = 0x280
	offCall       = 0x300
	offClone      = 0x400
	offNewProcess = 0x500
	offNewThread  = 0x600
	offDeathSig   = 0x640 + 15 // prctl(PR_SET_PDEATHSIG), after three moves
	offParent     = 0x640 + 22 // getppid

	// The path of patched sites, and the points in it that matter when a signal
	// comes.
	offFast      = 0x700
	offPush      = 0x720 // PUSHFQ; SP is the area's
	offPost      = 0x7a0 // the instruction that posts the request
	offFastSleep = 0x840
	offReturn    = 0x880 // POPFQ; then SP is restored, then it jumps to CX
	offSlow      = 0x8a0 // POPFQ; then SP is restored, then it jumps to CX-2
	offLent      = 0x8c0 // the call may be one by a loan
	offLookup    = 0x900 // its registers are in the area
	offPublish   = 0xae0 // the instruction that makes it, if the loan is as it was
	offPublished = offPublish + 4
	popLength    = 1
	spLength     = 9 // of the instruction that restores SP

	ipHandoff    = stubText + offHandoff + 2
	ipSigreturn  = stubText + offSigreturn + 2
	ipCall       = stubText + offCall + 2
	ipClone      = stubText + offClone + 2
	ipNewProcess = stubText + offNewProcess + 2
	ipNewThread  = stubText + offNewThread + 2
	ipDeathSig   = stubText + offDeathSig + 2
	ipParent     = stubText + offParent + 2
	ipFastSleep  = stubText + offFastSleep + 2
)

// nrHandoff is the number of the call by which the stub waits for a command. No
// system call of Linux has it.
const nrHandoff = 0x100000

// Why the stub hands over, other than for a signal.
const (
	kindDone   = 0x100 // ready for a command; all calls of the last one succeeded
	kindFailed = 0x101 // a call of the last command failed
)

// Commands to the stub, the answer to a handoff: the kind in the low byte, flags,
// the number of calls from bit 16, the offset of the frame to resume with in the
// area from bit 32.
const (
	cmdResume = 0
	cmdCalls  = 1
	cmdClone  = 2

	cmdRide       = 0x100 // resume after the calls
	cmdCountShift = 16
	cmdFrameShift = 32
)

// Values of areaRequest.
const (
	requestNone      = 0 // or answered
	requestPosted    = 1
	requestTaken     = 2
	requestWithdrawn = 3
	requestAsleep    = 4 // taken, and the stub is to wait for the answer (futex(2))
)

// Operations of futex(2).
const (
	futexWait = 0
	futexWake = 1
)

// interruptSignal brings a thread that runs application code into the stub's
// signal handler.
const interruptSignal = 10 // SIGUSR1
