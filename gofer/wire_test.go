package gofer

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestDecoderStrings(t *testing.T) {
	tests := []struct {
		raw       string
		str, name bool
	}{
		{"\x01\x00a\x00", true, true},
		{"\x00\x00\x00", true, false},
		{"\x03\x00a/b\x00", true, false},
		{"\x01\x00.\x00", true, false},
		{"\x02\x00..\x00", true, false},
		{"\x03\x00...\x00", true, true},
		{"\x02\x00.a\x00", true, true},
		{"\x01\x00ab", false, false},        // no NUL
		{"\x02\x00a\x00", false, false},     // too short
		{"\x02\x00a\x00\x00", false, false}, // a NUL within
		{"\x01", false, false},
		{"", false, false},
		{"\xff\x00" + strings.Repeat("n", 255) + "\x00", true, true},
		{"\x00\x01" + strings.Repeat("n", 256) + "\x00", true, false},
		{"\xff\xff" + strings.Repeat("n", 70000), false, false},
	}
	for _, tt := range tests {
		d := decoder{b: []byte(tt.raw)}
		d.str(1000)
		if d.ok() != tt.str {
			t.Errorf("str of %.20q: ok %v", tt.raw, d.ok())
		}
		d = decoder{b: []byte(tt.raw)}
		d.name()
		if d.ok() != tt.name {
			t.Errorf("name of %.20q: ok %v", tt.raw, d.ok())
		}
		d = decoder{b: []byte(tt.raw)}
		d.optName()
		if want := tt.name || tt.raw == "\x00\x00\x00"; d.ok() != want {
			t.Errorf("optName of %.20q: ok %v", tt.raw, d.ok())
		}
	}
}

// TestDecoderBad checks that nothing is decoded after a field that was not
// there, though later bytes would fit a smaller one.
func TestDecoderBad(t *testing.T) {
	d := decoder{b: []byte{1, 2, 3, 4}}
	if v := d.u64(); v != 0 || d.ok() {
		t.Errorf("u64: %d, ok %v", v, d.ok())
	}
	if v := d.u8(); v != 0 || d.ok() {
		t.Errorf("u8 afterwards: %d, ok %v", v, d.ok())
	}
	d = decoder{b: []byte{1}}
	if d.take(-1) != nil || d.ok() {
		t.Error("a negative length was taken")
	}
}

func TestEncoderFull(t *testing.T) {
	e := encoder{b: make([]byte, 5)}
	e.u32(1)
	e.u16(2)
	if !e.full || e.n != 4 {
		t.Errorf("full %v, %d bytes", e.full, e.n)
	}
	e = encoder{b: make([]byte, 1<<17)}
	putString(&e, strings.Repeat("x", 1<<16))
	if !e.full {
		t.Error("a string whose length does not fit was encoded")
	}
}

func TestAttrRoundTrip(t *testing.T) {
	st := unix.Statx_t{Mask: unix.STATX_BTIME, Blksize: 1, Nlink: 2, Uid: 3, Gid: 4, Mode: 5, Ino: 6 << 40, Size: 7 << 40,
		Blocks: 8 << 40, Rdev_major: 9, Rdev_minor: 10, Dev_major: 11, Dev_minor: 12,
		Atime: unix.StatxTimestamp{Sec: -1, Nsec: 13}, Mtime: unix.StatxTimestamp{Sec: 14, Nsec: 15},
		Ctime: unix.StatxTimestamp{Sec: 16, Nsec: 17}, Btime: unix.StatxTimestamp{Sec: 18, Nsec: 19}}
	want := Attr{Blksize: 1, Nlink: 2, UID: 3, GID: 4, Mode: 5, Ino: 6 << 40, Size: 7 << 40, Blocks: 8 << 40,
		RdevMajor: 9, RdevMinor: 10, DevMajor: 11, DevMinor: 12,
		Atime: Timestamp{-1, 13}, Mtime: Timestamp{14, 15}, Ctime: Timestamp{16, 17}, Btime: Timestamp{18, 19}}
	e := encoder{b: make([]byte, attrSize)}
	e.putStatx(&st)
	d := decoder{b: e.b[:e.n]}
	var got Attr
	d.attr(&got)
	if got != want || !d.ok() {
		t.Errorf("%+v, want %+v", got, want)
	}
	set := SetAttr{Valid: 1, Mode: 2, UID: 3, GID: 4, Size: 5, Atime: Timestamp{-6, 7}, Mtime: Timestamp{8, 9}}
	e = encoder{b: make([]byte, 100)}
	e.putSetAttr(&set)
	d = decoder{b: e.b[:e.n]}
	var back SetAttr
	d.setAttr(&back)
	if back != set || !d.ok() {
		t.Errorf("%+v, want %+v", back, set)
	}
}

func TestParseRunning(t *testing.T) {
	for line, want := range map[string]int{
		"0.20 0.18 0.12 1/80 11206\n":    1,
		"10.20 0.18 0.12 123/8000 11206": 123,
		"":                               -1, "a b c d/e": -1, "1 2 3": -1, "1 2 3 4": -1, "1 2 3 /4": -1, "1 2 3 4 5/6": -1,
	} {
		n, ok := parseRunning([]byte(line))
		if !ok {
			n = -1
		}
		if n != want {
			t.Errorf("%q: %d, want %d", line, n, want)
		}
	}
}
