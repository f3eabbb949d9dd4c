package eventfd

import (
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"casemate/vfs/usermem"
	"casemate/vfs/wait"
)

func read(e *File) (uint64, error) {
	var b [8]byte
	seq := usermem.Kernel(b[:])
	_, err := e.Read(nil, nil, &seq, 0, 0)
	return binary.LittleEndian.Uint64(b[:]), err
}

func write(e *File, n uint64) error {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], n)
	seq := usermem.Kernel(b[:])
	_, err := e.Write(nil, nil, &seq, 0, 0)
	if err != nil && seq.Len() != 8 {
		panic("the source was consumed")
	}
	return err
}

func TestCounter(t *testing.T) {
	e := New(3, false)
	if n, err := read(e); n != 3 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	if _, err := read(e); err != unix.EAGAIN {
		t.Errorf("read of zero: %v", err)
	}
	if err := write(e, ^uint64(0)); err != unix.EINVAL {
		t.Errorf("write of the largest number: %v", err)
	}
	if err := write(e, maxCount); err != nil {
		t.Errorf("fill: %v", err)
	}
	if got := e.Readiness(wait.In | wait.Out); got != wait.In {
		t.Errorf("full: events %#x", got)
	}
	if err := write(e, 1); err != unix.EAGAIN {
		t.Errorf("write when full: %v", err)
	}
	e.Signal(5)
	if got := e.Readiness(wait.In); got != wait.In|wait.Err {
		t.Errorf("overflow: events %#x", got)
	}
	if n, _ := read(e); n != maxCount+1 {
		t.Errorf("read %#x after an overflow", n)
	}
	if got := e.Readiness(wait.In | wait.Out); got != wait.Out {
		t.Errorf("empty: events %#x", got)
	}
}

func TestSemaphore(t *testing.T) {
	e := New(2, true)
	for range 2 {
		if n, err := read(e); n != 1 || err != nil {
			t.Errorf("read %d, %v", n, err)
		}
	}
	if _, err := read(e); err != unix.EAGAIN {
		t.Errorf("read of zero: %v", err)
	}
}
