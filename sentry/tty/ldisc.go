// Package tty is the terminal: the line discipline (termios(3)), pseudo-terminals
// (pty(7)), job control on a terminal, and the file system that holds them
// (devpts).
//
// Locks: Terminal.mu guards a terminal's state and its line discipline. Kernel
// locks are taken inside it only to send signals; wait queues are notified
// without it.
package tty

import (
	"golang.org/x/sys/unix"
)

// Sizes of the queues in bytes.
const (
	inputLimit  = 4096  // N_TTY_BUF_SIZE: characters that wait for a reader
	outputLimit = 65536 // characters that wait for the master
)

// disabled is the value of a control character that is not in use
// (_POSIX_VDISABLE).
const disabled = 0

// defaultTermios is what a new terminal has (tty_std_termios).
func defaultTermios() unix.Termios {
	t := unix.Termios{
		Iflag:  unix.ICRNL | unix.IXON,
		Oflag:  unix.OPOST | unix.ONLCR,
		Cflag:  unix.B38400 | unix.CS8 | unix.CREAD | unix.HUPCL,
		Lflag:  unix.ISIG | unix.ICANON | unix.ECHO | unix.ECHOE | unix.ECHOK | unix.ECHOCTL | unix.ECHOKE | unix.IEXTEN,
		Ispeed: 38400,
		Ospeed: 38400,
	}
	for i, c := range map[int]uint8{
		unix.VINTR: 3, unix.VQUIT: 28, unix.VERASE: 127, unix.VKILL: 21, unix.VEOF: 4, unix.VMIN: 1,
		unix.VSTART: 17, unix.VSTOP: 19, unix.VSUSP: 26, unix.VREPRINT: 18, unix.VDISCARD: 15,
		unix.VWERASE: 23, unix.VLNEXT: 22,
	} {
		t.Cc[i] = c
	}
	return t
}

// A lineDiscipline is N_TTY: what is between the two ends of a terminal. Input is
// what the master end writes and the terminal's readers get, output the other
// way. Terminal.mu guards it.
type lineDiscipline struct {
	termios unix.Termios

	// Input that can be read. In canonical mode it consists of lines, whose
	// lengths are in lines; a line that ended by EOF has no terminator in input.
	input []byte
	lines []int
	// line is the line that is being typed (canonical mode).
	line []byte
	// literal says that the next character is taken as it is (LNEXT).
	literal bool

	output  []byte
	column  int  // of the output, for tabs and ECHOE
	echoCol int  // column at which the line being typed begins
	stopped bool // by STOP (IXON)
}

// signals that a character of the input asks for, as signal numbers.
type inputSignals []int

func (l *lineDiscipline) flag(word, bit uint32) bool { return word&bit != 0 }
func (l *lineDiscipline) iflag(bit uint32) bool      { return l.flag(l.termios.Iflag, bit) }
func (l *lineDiscipline) oflag(bit uint32) bool      { return l.flag(l.termios.Oflag, bit) }
func (l *lineDiscipline) lflag(bit uint32) bool      { return l.flag(l.termios.Lflag, bit) }

// is reports whether c is control character i.
func (l *lineDiscipline) is(c byte, i int) bool {
	return l.termios.Cc[i] != disabled && c == l.termios.Cc[i]
}

// room is how many characters of input can be taken.
func (l *lineDiscipline) room() int {
	if l.lflag(unix.ICANON) && len(l.lines) == 0 {
		// A line that is too long loses its end, but its terminator must get in.
		return inputLimit
	}
	return max(inputLimit-len(l.input)-len(l.line), 0)
}

// receive takes characters from the master end, and returns the signals that they
// stand for.
func (l *lineDiscipline) receive(p []byte) (signals inputSignals) {
	for _, c := range p {
		if s := l.receiveChar(c); s != 0 {
			signals = append(signals, s)
		}
	}
	return signals
}

func (l *lineDiscipline) receiveChar(c byte) (signal int) {
	if l.iflag(unix.ISTRIP) {
		c &= 0x7f
	}
	if l.iflag(unix.IUCLC) && l.lflag(unix.IEXTEN) && c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	if l.literal {
		l.literal = false
		l.accept(c)
		return 0
	}
	if l.iflag(unix.IXON) {
		switch {
		case l.is(c, unix.VSTART):
			l.stopped = false
			return 0
		case l.is(c, unix.VSTOP):
			l.stopped = true
			return 0
		case l.stopped && l.iflag(unix.IXANY):
			l.stopped = false
		}
	}
	if l.lflag(unix.ISIG) {
		for _, s := range [...]struct{ char, signal int }{
			{unix.VINTR, int(unix.SIGINT)}, {unix.VQUIT, int(unix.SIGQUIT)}, {unix.VSUSP, int(unix.SIGTSTP)},
		} {
			if l.is(c, s.char) {
				if !l.lflag(unix.NOFLSH) {
					l.flushInput()
					l.output = l.output[:0]
				}
				l.stopped = false
				if l.lflag(unix.ECHO) {
					l.echo(c)
				}
				return s.signal
			}
		}
	}
	switch {
	case c == '\r' && l.iflag(unix.IGNCR):
		return 0
	case c == '\r' && l.iflag(unix.ICRNL):
		c = '\n'
	case c == '\n' && l.iflag(unix.INLCR):
		c = '\r'
	}
	if l.lflag(unix.ICANON) {
		l.edit(c)
	} else {
		l.accept(c)
	}
	return 0
}

// edit serves a character in canonical mode.
func (l *lineDiscipline) edit(c byte) {
	extended := l.lflag(unix.IEXTEN)
	switch {
	case l.is(c, unix.VERASE):
		l.erase(1)
	case l.is(c, unix.VKILL):
		l.erase(len(l.line))
		if !l.lflag(unix.ECHOKE) || !l.lflag(unix.ECHOE) {
			if l.lflag(unix.ECHOK) && l.lflag(unix.ECHO) {
				l.echo(c)
				l.emit('\n')
			}
		}
	case extended && l.is(c, unix.VWERASE):
		l.erase(l.lastWord())
	case extended && l.is(c, unix.VLNEXT):
		l.literal = true
		if l.lflag(unix.ECHO) && l.lflag(unix.ECHOCTL) {
			l.raw('^', '\b')
		}
	case extended && l.is(c, unix.VREPRINT) && l.lflag(unix.ECHO):
		l.echo(c)
		l.emit('\n')
		for _, b := range l.line {
			l.echo(b)
		}
	case l.is(c, unix.VEOF):
		l.endLine(nil)
	case c == '\n':
		if l.lflag(unix.ECHO) || l.lflag(unix.ECHONL) {
			l.emit('\n')
		}
		l.endLine([]byte{c})
	case l.is(c, unix.VEOL), extended && l.is(c, unix.VEOL2):
		if l.lflag(unix.ECHO) {
			l.echo(c)
		}
		l.endLine([]byte{c})
	default:
		l.accept(c)
	}
}

// accept adds a character to the line being typed or, in non-canonical mode, to
// what can be read.
func (l *lineDiscipline) accept(c byte) {
	if len(l.input)+len(l.line) >= inputLimit-1 {
		if l.iflag(unix.IMAXBEL) {
			l.raw('\a')
		}
		return
	}
	if l.lflag(unix.ICANON) {
		if len(l.line) == 0 {
			l.echoCol = l.column
		}
		l.line = append(l.line, c)
	} else {
		l.input = append(l.input, c)
	}
	if l.lflag(unix.ECHO) {
		l.echo(c)
	}
}

// endLine makes the line being typed, with its terminator, readable.
func (l *lineDiscipline) endLine(terminator []byte) {
	l.lines = append(l.lines, len(l.line)+len(terminator))
	l.input = append(append(l.input, l.line...), terminator...)
	l.line = l.line[:0]
}

// lastWord is the length of the last word of the line being typed, with the blanks
// after it.
func (l *lineDiscipline) lastWord() int {
	i := len(l.line)
	word := func(c byte) bool {
		return c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
	}
	for i > 0 && !word(l.line[i-1]) {
		i--
	}
	for i > 0 && word(l.line[i-1]) {
		i--
	}
	return len(l.line) - i
}

// erase removes the last n characters of the line being typed; in UTF-8 mode a
// character may be several bytes.
func (l *lineDiscipline) erase(n int) {
	for ; n > 0 && len(l.line) > 0; n-- {
		c := l.line[len(l.line)-1]
		l.line = l.line[:len(l.line)-1]
		if l.iflag(unix.IUTF8) {
			for c&0xc0 == 0x80 && len(l.line) > 0 {
				c = l.line[len(l.line)-1]
				l.line = l.line[:len(l.line)-1]
			}
		}
		if !l.lflag(unix.ECHO) {
			continue
		}
		if !l.lflag(unix.ECHOE) {
			l.echo(l.termios.Cc[unix.VERASE])
			continue
		}
		width := 1
		switch {
		case c == '\t':
			width = l.column - l.columnAfterLine()
		case control(c) && l.lflag(unix.ECHOCTL):
			width = 2
		case control(c):
			width = 0
		}
		for range width {
			l.raw('\b', ' ', '\b')
		}
		l.column = max(l.column-width, 0)
	}
}

// columnAfterLine is the column at which the line being typed ends on the screen.
func (l *lineDiscipline) columnAfterLine() int {
	col := l.echoCol
	for _, c := range l.line {
		switch {
		case c == '\t':
			col = col&^7 + 8
		case control(c):
			if l.lflag(unix.ECHOCTL) {
				col += 2
			}
		case l.iflag(unix.IUTF8) && c&0xc0 == 0x80:
		default:
			col++
		}
	}
	return col
}

// control reports whether c is shown as ^X.
func control(c byte) bool { return c < ' ' && c != '\t' || c == 0x7f }

// echo shows an input character.
func (l *lineDiscipline) echo(c byte) {
	if l.lflag(unix.ECHOCTL) && control(c) && c != '\n' {
		l.raw('^', c^0x40)
		l.column += 2
		return
	}
	l.emit(c)
}

// raw adds to the output without processing. What is echoed when the output is
// full is lost.
func (l *lineDiscipline) raw(p ...byte) {
	if len(l.output)+len(p) <= outputLimit+inputLimit {
		l.output = append(l.output, p...)
	}
}

// send takes output from the terminal's writers and returns how much it took.
func (l *lineDiscipline) send(p []byte) int {
	if l.stopped {
		return 0
	}
	for i, c := range p {
		if len(l.output) >= outputLimit {
			return i
		}
		l.emit(c)
	}
	return len(p)
}

// emit adds one character to the output, as Oflag says.
func (l *lineDiscipline) emit(c byte) {
	if !l.oflag(unix.OPOST) {
		l.raw(c)
		return
	}
	switch c {
	case '\n':
		if l.oflag(unix.ONLRET) {
			l.column = 0
		}
		if l.oflag(unix.ONLCR) {
			l.column = 0
			l.raw('\r', '\n')
			return
		}
	case '\r':
		if l.oflag(unix.ONOCR) && l.column == 0 {
			return
		}
		if l.oflag(unix.OCRNL) {
			c = '\n'
			if l.oflag(unix.ONLRET) {
				l.column = 0
			}
			break
		}
		l.column = 0
	case '\t':
		spaces := 8 - l.column&7
		l.column += spaces
		if l.termios.Oflag&unix.TABDLY == unix.XTABS {
			for range spaces {
				l.raw(' ')
			}
			return
		}
	case '\b':
		l.column = max(l.column-1, 0)
	default:
		if l.oflag(unix.OLCUC) && c >= 'a' && c <= 'z' {
			c -= 'a' - 'A'
		}
		if c >= ' ' && !(l.iflag(unix.IUTF8) && c&0xc0 == 0x80) {
			l.column++
		}
	}
	l.raw(c)
}

// readable reports whether a read by min (VMIN, or less if the reader asks for
// less) would return something.
func (l *lineDiscipline) readable(min int) bool {
	if l.lflag(unix.ICANON) {
		return len(l.lines) > 0
	}
	return len(l.input) >= max(min, 1)
}

// peek returns what a read of up to n bytes gets: at most one line in canonical
// mode.
func (l *lineDiscipline) peek(n int) []byte {
	if l.lflag(unix.ICANON) && len(l.lines) > 0 {
		n = min(n, l.lines[0])
	}
	return l.input[:min(n, len(l.input))]
}

// consume drops n bytes that peek has returned.
func (l *lineDiscipline) consume(n int) {
	l.input = append(l.input[:0], l.input[n:]...)
	if len(l.lines) > 0 {
		l.lines[0] -= n
		if l.lines[0] == 0 {
			l.lines = append(l.lines[:0], l.lines[1:]...)
		}
	}
}

// inputReady is what FIONREAD says.
func (l *lineDiscipline) inputReady() int {
	if !l.lflag(unix.ICANON) {
		return len(l.input)
	}
	n := 0
	for _, length := range l.lines {
		n += length
	}
	return n
}

// flushInput drops all input.
func (l *lineDiscipline) flushInput() {
	l.input, l.lines, l.line = l.input[:0], l.lines[:0], l.line[:0]
	l.literal = false
}

// setTermios changes the settings. What was typed in canonical mode without an end
// of line can be read afterwards in the other mode, and the reverse.
func (l *lineDiscipline) setTermios(t unix.Termios) {
	was := l.lflag(unix.ICANON)
	l.termios = t
	switch now := l.lflag(unix.ICANON); {
	case was && !now:
		l.input = append(l.input, l.line...)
		l.line, l.lines, l.literal = l.line[:0], l.lines[:0], false
	case !was && now && len(l.input) > 0:
		l.lines = append(l.lines[:0], len(l.input))
	}
	if !l.iflag(unix.IXON) {
		l.stopped = false
	}
}
