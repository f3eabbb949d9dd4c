package mm

import (
	"bytes"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestWhatProcShows(t *testing.T) {
	mf := newMemfile(t)
	m := newMM(t, mf, wide)
	f := newHostFile(t, 4)
	a := mapAnon(t, m, 1<<32, 4*pageSize, rw, unix.MAP_FIXED)
	m.SetBrkStart(2 << 32)
	m.Brk(nil, 2<<32+100, NoLimits)
	o := MapOptions{Addr: 3 << 32, Length: 2 * pageSize, Prot: unix.PROT_READ | unix.PROT_EXEC, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED,
		File: f, Mappable: f, Offset: pageSize, MaxProt: rwx, Limits: NoLimits}
	if _, err := m.Map(nil, o); err != nil {
		t.Fatal(err)
	}
	o = MapOptions{Addr: 4 << 32, Length: pageSize, Prot: unix.PROT_READ, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED, Name: "[vvar]", Limits: NoLimits}
	if _, err := m.Map(nil, o); err != nil {
		t.Fatal(err)
	}
	o = MapOptions{Addr: 5 << 32, Length: pageSize, Prot: rw, Flags: unix.MAP_SHARED | unix.MAP_FIXED, Limits: NoLimits}
	if _, err := m.Map(nil, o); err != nil {
		t.Fatal(err)
	}
	if err := m.SetAnonName(a, pageSize, "name"); err != nil {
		t.Fatal(err)
	}
	var got []string
	m.Regions(0, func(r Region) bool {
		if (r.File != nil) != (r.Start == 3<<32) {
			t.Errorf("file %v at %#x", r.File, r.Start)
		}
		got = append(got, r.Name)
		return true
	})
	want := []string{"[anon:name]", "", "[heap]", "", "[vvar]", "/dev/zero (deleted)"}
	if len(got) != len(want) {
		t.Fatalf("%q, want %q", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if _, err := m.ForContext(nil).CopyOut(a, []byte{1}); err != nil {
		t.Fatal(err)
	}
	u := m.Usage()
	if u.Total != 10*pageSize-pageSize || u.Data != 5*pageSize || u.Exec != 2*pageSize || u.Anon != pageSize || u.HeapSize != 100 {
		t.Errorf("%+v", u)
	}
	vec := make([]byte, 4)
	if err := m.Mincore(a, vec); err != nil || !bytes.Equal(vec, []byte{1, 0, 0, 0}) {
		t.Errorf("mincore: %v %v", vec, err)
	}
	if err := m.Mincore(a, make([]byte, 5)); err != unix.ENOMEM {
		t.Errorf("mincore over a hole: %v", err)
	}
}

func TestFutexKeysOfSharedMemoryAreTheSameEverywhere(t *testing.T) {
	m := newMM(t, newMemfile(t), wide)
	private := mapAnon(t, m, 0, pageSize, rw, 0)
	shared, err := m.Map(nil, MapOptions{Length: 2 * pageSize, Prot: rw, Flags: unix.MAP_SHARED, Limits: NoLimits})
	if err != nil {
		t.Fatal(err)
	}
	child := fork(t, m)
	moved, err := child.Remap(nil, shared+pageSize, pageSize, 2*pageSize, unix.MREMAP_MAYMOVE, 0, NoLimits)
	if err != nil {
		t.Fatal(err)
	}
	obj, off, err := m.FutexKey(shared + pageSize + 8)
	if err != nil || obj == nil {
		t.Fatal(obj, err)
	}
	if o, f, err := child.FutexKey(moved + 8); o != obj || f != off || err != nil {
		t.Errorf("%v %#x, want %v %#x (%v)", o, f, obj, off, err)
	}
	if o, f, err := m.FutexKey(private); o != nil || f != private || err != nil {
		t.Errorf("private: %v %#x %v", o, f, err)
	}
	if _, _, err := m.FutexKey(8); err != unix.EFAULT {
		t.Errorf("nothing there: %v", err)
	}
	// What mremap has added lies beyond the object.
	if err := fault(child, moved+pageSize, false); !errors.Is(err, errBus) {
		t.Errorf("beyond the shared object: %v", err)
	}
	if err := m.Advise(nil, shared, pageSize, unix.MADV_REMOVE); err != nil {
		t.Errorf("MADV_REMOVE: %v", err)
	}
	if err := m.Advise(nil, private, pageSize, unix.MADV_REMOVE); err != unix.EINVAL {
		t.Errorf("MADV_REMOVE of private memory: %v", err)
	}
}
