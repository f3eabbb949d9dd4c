package kernel

import "fmt"

// MaxSyscall is the first system call number that no table can hold.
const MaxSyscall = 512

// A Handler serves a system call. It returns the result, or a unix.Errno or
// restart code.
type Handler func(t *Task, a Args) (uint64, error)

// Support says how much of a system call there is.
type Support uint8

const (
	// Absent calls give ENOSYS.
	Absent Support = iota
	// Partial calls lack something; Entry.Note says what.
	Partial
	// Full calls do all that Linux's do.
	Full
)

// String returns "absent", "partial" or "full".
func (s Support) String() string { return [...]string{"absent", "partial", "full"}[s] }

// An Entry describes one system call.
type Entry struct {
	// Name is the name by which Linux calls it; empty for a number that is free.
	Name string
	// Fn serves it; nil if it is Absent.
	Fn Handler
	// Support says how much of it there is.
	Support Support
	// Args are the formats of its arguments for strace, one word each (see
	// strace.go), separated by blanks.
	Args string
	// Note says what is missing, or why.
	Note string
	// NeedsFull calls are handled with State.Full.
	NeedsFull bool

	formats []argFormat
}

// A Table has an Entry for each system call number of an architecture. It does
// not change once a Kernel uses it.
type Table struct {
	entries [MaxSyscall]Entry
}

// NewTable returns a table of entries, whose index is the call number. It panics
// when an entry contradicts itself.
func NewTable(entries []Entry) *Table {
	tb := &Table{}
	copy(tb.entries[:], entries)
	if len(entries) > MaxSyscall {
		panic("kernel: system call number out of range")
	}
	for nr := range tb.entries {
		e := &tb.entries[nr]
		if (e.Fn == nil) != (e.Support == Absent) {
			panic(fmt.Sprintf("kernel: system call %d (%s) is %s but its handler says otherwise", nr, e.Name, e.Support))
		}
		formats, err := parseFormats(e.Args)
		if err != nil {
			panic(fmt.Sprintf("kernel: system call %d (%s): %v", nr, e.Name, err))
		}
		e.formats = formats
	}
	return tb
}

// Entry returns the entry for nr; nil if Linux has no such call.
func (tb *Table) Entry(nr uint64) *Entry {
	if nr >= MaxSyscall || tb.entries[nr].Name == "" {
		return nil
	}
	return &tb.entries[nr]
}

// Name returns the name of call nr, or "syscall_NR".
func (tb *Table) Name(nr uint64) string {
	if e := tb.Entry(nr); e != nil {
		return e.Name
	}
	return fmt.Sprintf("syscall_%d", nr)
}

// FullState lists the calls that need State.Full, for platform.Options.
func (tb *Table) FullState() []uintptr {
	var list []uintptr
	for nr := range tb.entries {
		if tb.entries[nr].NeedsFull {
			list = append(list, uintptr(nr))
		}
	}
	return list
}
