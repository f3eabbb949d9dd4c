package loader

import (
	"bytes"

	"golang.org/x/sys/unix"
)

// headSize is how much of a file is looked at to find out what it is
// (BINPRM_BUF_SIZE).
const headSize = 256

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// skipBlanks returns p without the blanks at its start.
func skipBlanks(p []byte) []byte {
	for len(p) > 0 && isBlank(p[0]) {
		p = p[1:]
	}
	return p
}

// wordEnd returns the length of the word at the start of p, -1 if p ends before
// it does.
func wordEnd(p []byte) int {
	return bytes.IndexAny(p, " \t\x00")
}

// parseScript returns what the first line of a script names: the interpreter and,
// if hasArg, the one argument for it, which may hold blanks. head is the file's
// first headSize bytes, zeros after its end. ok is false if it is not a script, or
// one whose interpreter's name does not fit (execve(2), "Interpreter scripts").
func parseScript(head []byte) (interp, arg string, hasArg, ok bool) {
	if !bytes.HasPrefix(head, []byte("#!")) {
		return "", "", false, false
	}
	line := head[2:]
	if i := bytes.IndexAny(line, "\n\x00"); i >= 0 && line[i] == '\n' {
		line = line[:i]
	} else {
		// The file ends, or the line was cut. The name of the interpreter must be
		// whole; an argument need not be.
		if name := skipBlanks(line); len(name) == 0 || wordEnd(name) < 0 {
			return "", "", false, false
		}
		line = line[:len(line)-1]
	}
	for len(line) > 0 && isBlank(line[len(line)-1]) {
		line = line[:len(line)-1]
	}
	name := skipBlanks(line)
	if len(name) == 0 {
		return "", "", false, false
	}
	end := wordEnd(name)
	if end < 0 {
		return string(name), "", false, true
	}
	if name[end] == 0 {
		return string(name[:end]), "", false, true
	}
	rest := skipBlanks(name[end:])
	if i := bytes.IndexByte(rest, 0); i >= 0 {
		rest = rest[:i]
	}
	return string(name[:end]), string(rest), true, true
}

// rewrite turns the arguments of a script into those of its interpreter: argv[0]
// gives way to the interpreter, its argument and the script's name.
func rewrite(argv []string, interp, arg string, hasArg bool, script string, room *uint64) ([]string, error) {
	added := []string{interp}
	if hasArg {
		added = append(added, arg)
	}
	added = append(added, script)
	*room += uint64(len(argv[0])) + 1
	if err := take(room, added...); err != nil {
		return nil, err
	}
	return append(added, argv[1:]...), nil
}

// errTooDeep is what execve(2) says of a script whose interpreter is a script, and
// so on, too often.
const errTooDeep = unix.ELOOP
