package systrap

// Where things are in the address space of a stub process. Everything from
// stubStart is the platform's.
const (
	stubStart = 0x7fffc0000000
	stubText  = stubStart            // the stub's code, one page
	stubTable = stubStart + 0x100000 // stack_t of every slot, read-only
	stubAreas = stubStart + 0x1000000
	stubEnd   = 0x7ffffffff000 // TASK_SIZE_MAX with four levels of page tables
)

// An area is a thread's piece of memory that it shares with the sentry: a page
// for the command and the alternate signal stack. A slot is the number of an
// area in its process. Areas are handed out to processes by the chunk, mapped at
// the same address in all of them.
const (
	areaSize   = 0x4000
	stackStart = 0x1000 // offset of the alternate signal stack in an area
	stackSize  = areaSize - stackStart

	chunkSlots = 64
	chunkSize  = chunkSlots * areaSize
	maxChunks  = (stubEnd - stubAreas) / chunkSize
	maxSlots   = maxChunks * chunkSlots
)

// What is where in the first page of an area.
const (
	areaFSBase = 0
	areaGSBase = 8
	areaCalls  = 256
	maxCalls   = (stackStart - areaCalls) / callSize
	callSize   = 64
)

// Offsets in the stub, and what seccomp and signals report as the instruction
// pointer of its system calls (2 is the instruction's length).
const (
	stubSize     = 0x700
	stubTextSize = 0x1000

	offHandler    = 0x000
	offHandoff    = 0x100
	offSigreturn  = 0x200
	offLoad       = 0x280
	offCall       = 0x300
	offClone      = 0x400
	offNewProcess = 0x500
	offNewThread  = 0x600

	ipHandoff    = stubText + offHandoff + 2
	ipSigreturn  = stubText + offSigreturn + 2
	ipCall       = stubText + offCall + 2
	ipClone      = stubText + offClone + 2
	ipNewProcess = stubText + offNewProcess + 2
	ipNewThread  = stubText + offNewThread + 2
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

// interruptSignal brings a thread that runs application code into the stub's
// signal handler.
const interruptSignal = 10 // SIGUSR1
