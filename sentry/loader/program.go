package loader

import (
	"io"

	"golang.org/x/sys/unix"
)

// maxScripts is how many scripts in a row may name each other as interpreters.
const maxScripts = 5

// A Program is a program that is ready to be loaded.
type Program struct {
	// File is the ELF file: what /proc/PID/exe shows, and whose mode and
	// capabilities count. For a script it is that of its interpreter.
	File File
	// Argv and Envp are the strings that the program gets.
	Argv, Envp []string
	// Filename is the path that execve(2) was called with (AT_EXECFN).
	Filename string

	elf    *elfFile
	interp File // nil if there is none
	ielf   *elfFile
}

// Open opens the program in file, which was found by the path filename, with the
// arguments argv and environment envp. It takes over the reference to file. The
// slices are not changed. stackLimit is RLIMIT_STACK.
//
// Errors: ENOEXEC (no format that is known), E2BIG, ELOOP (scripts whose
// interpreters are scripts), ELIBBAD (the ELF interpreter is no ELF file), EIO (the
// file ends too early), and what open and the files say.
func Open(file File, filename string, argv, envp []string, stackLimit uint64, open OpenFunc) (*Program, error) {
	p := &Program{File: file, Argv: argv, Envp: envp, Filename: filename}
	if err := p.open(stackLimit, open); err != nil {
		p.Release()
		return nil, err
	}
	return p, nil
}

func (p *Program) open(stackLimit uint64, open OpenFunc) error {
	room, err := argumentRoom(stackLimit, len(p.Argv), len(p.Envp))
	if err != nil {
		return err
	}
	if len(p.Argv) == 0 {
		p.Argv = []string{""} // since Linux 5.18
	}
	if err := take(&room, p.Filename); err != nil {
		return err
	}
	if err := take(&room, p.Envp...); err != nil {
		return err
	}
	if err := take(&room, p.Argv...); err != nil {
		return err
	}

	name := p.Filename
	for scripts := 0; ; scripts++ {
		if scripts > maxScripts {
			return errTooDeep
		}
		head, err := readHead(p.File)
		if err != nil {
			return err
		}
		interp, arg, hasArg, ok := parseScript(head)
		if !ok {
			return p.openELF(head, open)
		}
		if p.Argv, err = rewrite(p.Argv, interp, arg, hasArg, name, &room); err != nil {
			return err
		}
		if interp == "" {
			return unix.EACCES // to Linux it is the current directory
		}
		f, err := open(interp)
		if err != nil {
			return err
		}
		p.File.DecRef()
		p.File, name = f, interp
	}
}

// readHead reads the first bytes of a file. Behind its end are zeros.
func readHead(f File) ([]byte, error) {
	head := make([]byte, headSize)
	for n := 0; n < len(head); {
		m, err := f.ReadAt(head[n:], int64(n))
		n += m
		if err == io.EOF || err == nil && m == 0 {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	return head, nil
}

// openELF reads the headers of the program and of its interpreter.
func (p *Program) openELF(head []byte, open OpenFunc) error {
	var err error
	if p.elf, err = parseELF(p.File, head, unix.ENOEXEC); err != nil {
		return err
	}
	if p.elf.typ != unix.ET_EXEC && p.elf.typ != unix.ET_DYN {
		return unix.ENOEXEC
	}
	path, err := p.elf.interpreter(p.File)
	if err != nil || path == "" {
		return err
	}
	if p.interp, err = open(path); err != nil {
		return err
	}
	head = make([]byte, ehdrSize)
	if err := readFull(p.interp, head, 0); err != nil {
		return err
	}
	p.ielf, err = parseELF(p.interp, head, unix.ELIBBAD)
	return err
}

// Release lets go of the files. Mappings have references of their own.
func (p *Program) Release() {
	p.File.DecRef()
	if p.interp != nil {
		p.interp.DecRef()
	}
}
