package gofer

import (
	"bytes"
	"encoding/binary"
)

// A decoder takes fields off a message that has been copied into private
// memory. Once a field does not fit, bad is set and every further field is
// zero, so a caller checks once, with ok, after the last field.
type decoder struct {
	b   []byte
	bad bool
}

// take returns the next n bytes, or nil if there are not so many.
func (d *decoder) take(n int) []byte {
	if n < 0 || n > len(d.b) {
		d.bad = true
		d.b = nil
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) u8() uint8 {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) u16() uint16 {
	if p := d.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (d *decoder) u32() uint32 {
	if p := d.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (d *decoder) u64() uint64 {
	if p := d.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

// str takes a string: its length, its bytes and a NUL that the length does not
// count. The result includes the NUL, so that it can be passed to a system
// call as it is. A NUL within the string is refused, as is a string longer
// than max.
func (d *decoder) str(max int) []byte {
	n := int(d.u16())
	p := d.take(n + 1)
	if p == nil || n > max || bytes.IndexByte(p, 0) != n {
		d.bad = true
		return nil
	}
	return p
}

// name takes a string that must be one path component: not empty, not "." or
// "..", without a slash.
func (d *decoder) name() []byte {
	p := d.str(maxName)
	if p == nil || !validName(p[:len(p)-1]) {
		d.bad = true
		return nil
	}
	return p
}

// optName takes a string that is empty or a name; nil means empty.
func (d *decoder) optName() []byte {
	p := d.str(maxName)
	if len(p) <= 1 {
		return nil
	}
	if !validName(p[:len(p)-1]) {
		d.bad = true
		return nil
	}
	return p
}

// ok reports whether every field was there and nothing is left over.
func (d *decoder) ok() bool { return !d.bad && len(d.b) == 0 }

// validName reports whether s may be the name of a directory entry.
func validName[T string | []byte](s T) bool {
	if len(s) == 0 || len(s) > maxName || s[0] == '.' && (len(s) == 1 || len(s) == 2 && s[1] == '.') {
		return false
	}
	for i := 0; i < len(s); i++ {
		if s[i] == '/' || s[i] == 0 {
			return false
		}
	}
	return true
}

// An encoder puts fields into a message. It only ever writes to its buffer,
// which may be shared memory. A field that does not fit sets full and leaves
// the message as it was.
type encoder struct {
	b    []byte
	n    int
	full bool
}

// room returns the next n bytes to be written, or nil if they do not fit.
func (e *encoder) room(n int) []byte {
	if n > len(e.b)-e.n {
		e.full = true
		return nil
	}
	p := e.b[e.n : e.n+n : e.n+n]
	e.n += n
	return p
}

func (e *encoder) u8(v uint8) {
	if p := e.room(1); p != nil {
		p[0] = v
	}
}

func (e *encoder) u16(v uint16) {
	if p := e.room(2); p != nil {
		binary.LittleEndian.PutUint16(p, v)
	}
}

func (e *encoder) u32(v uint32) {
	if p := e.room(4); p != nil {
		binary.LittleEndian.PutUint32(p, v)
	}
}

func (e *encoder) u64(v uint64) {
	if p := e.room(8); p != nil {
		binary.LittleEndian.PutUint64(p, v)
	}
}

// bytes puts raw bytes without a length.
func (e *encoder) bytes(v []byte) {
	if p := e.room(len(v)); p != nil {
		copy(p, v)
	}
}

// putString puts a string as decoder.str takes it.
func putString[T string | []byte](e *encoder, s T) {
	if len(s) > 0xffff {
		e.full = true
		return
	}
	if p := e.room(2 + len(s) + 1); p != nil {
		binary.LittleEndian.PutUint16(p, uint16(len(s)))
		copy(p[2:], s)
		p[2+len(s)] = 0
	}
}
