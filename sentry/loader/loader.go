// Package loader loads programs for execve(2): ELF files (elf(5)), static,
// position-independent or with an interpreter, and #! scripts, as Linux's
// fs/exec.c, binfmt_elf and binfmt_script treat them.
//
// It works in two steps. Open does all that can fail without harm: it follows
// scripts to their interpreter, reads the headers and checks the arguments. The
// kernel then ends the other threads, works out the credentials from Program.File
// and makes a new address space. Program.Load fills that; Linux kills the process
// (SIGSEGV) when this fails.
//
// Files are hostile: nothing that is read from them is used before it is checked.
// The package knows neither the memory manager nor the file system; it sees them
// through Memory and File.
package loader

// A File is a file that is executed. It holds a reference.
type File interface {
	// ReadAt is io.ReaderAt's; errors are unix.Errno or io.EOF.
	ReadAt(p []byte, off int64) (int, error)
	// DecRef gives the reference back.
	DecRef()
}

// An OpenFunc opens the file at path, as the calling task sees it, for execution.
// EACCES unless it is a regular file that may be executed and is not on a noexec
// mount; ENOENT and all other errors of a path walk; ETXTBSY.
type OpenFunc func(path string) (File, error)

// A Mapping is what Memory.Map maps: the arguments of mmap(2). Flags has
// MAP_PRIVATE, and may have MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_GROWSDOWN.
type Mapping struct {
	Addr, Length uint64
	Prot, Flags  int
	File         File // nil: anonymous
	Offset       uint64
}

// Memory is the new, empty address space into which a program is loaded.
type Memory interface {
	// Map does what mmap(2) does, with its errors, and returns the address.
	Map(m Mapping) (uint64, error)
	// Unmap is munmap(2).
	Unmap(addr, length uint64) error
	// CopyOut copies p to addr. It returns how much it has copied, and EFAULT if
	// that is not all.
	CopyOut(addr uint64, p []byte) (int, error)
	// Zero clears memory, like CopyOut.
	Zero(addr, length uint64) (uint64, error)
	// MapVDSO maps the vDSO and what it needs and returns the address of its ELF
	// header, 0 if there is none.
	MapVDSO() (uint64, error)
}

// Options are what a program is loaded with.
type Options struct {
	// Addresses (mm.Layout): the application's [Min, Max), the end of the initial
	// stack, where position-independent programs go, the random distance from the
	// program's end to the heap.
	Min, Max  uint64
	StackTop  uint64
	PIEBase   uint64
	BrkOffset uint64
	// StackLimit is RLIMIT_STACK.
	StackLimit uint64
	// StackRandom is a random number that shifts the stack pointer, as Linux does,
	// by less than 8 KiB; 0 for none.
	StackRandom uint64
	// Random is what AT_RANDOM points to.
	Random [16]byte
	// Credentials of the new program, and whether they were raised (AT_SECURE).
	UID, EUID, GID, EGID uint32
	Secure               bool
}

// An Image is a program that has been loaded.
type Image struct {
	// Entry is the first instruction, of the interpreter if there is one, and SP
	// the stack pointer there.
	Entry, SP uint64
	// BrkStart is where the heap starts.
	BrkStart uint64
	// The ranges of /proc/PID/stat: code, data, the strings of arguments and
	// environment. StartStack is SP.
	StartCode, EndCode uint64
	StartData, EndData uint64
	ArgStart, ArgEnd   uint64
	EnvStart, EnvEnd   uint64
	// Auxv is the auxiliary vector as it is on the stack (/proc/PID/auxv).
	Auxv []byte
}
