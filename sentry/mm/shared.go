package mm

import (
	"sync/atomic"

	"casemate/platform/memfile"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// sharedAnonymous is the object behind a MAP_SHARED|MAP_ANONYMOUS mapping. It has
// the size that it was created with; beyond there is SIGBUS, as in Linux.
type sharedAnonymous struct {
	mf   *memfile.File
	r    memfile.Range
	refs atomic.Int64
}

// newSharedAnonymous returns an object with one reference.
func newSharedAnonymous(mf *memfile.File, length uint64) (*sharedAnonymous, error) {
	r, err := mf.Allocate(length)
	if err != nil {
		return nil, err
	}
	s := &sharedAnonymous{mf: mf, r: r}
	s.refs.Store(1)
	return s, nil
}

// IncRef implements File.
func (s *sharedAnonymous) IncRef() { s.refs.Add(1) }

// DecRef implements File.
func (s *sharedAnonymous) DecRef() {
	if s.refs.Add(-1) == 0 {
		s.mf.DecRef(s.r)
	}
}

// BeingWritten implements File.
func (s *sharedAnonymous) BeingWritten() bool { return true }

// Translate implements vfs.Mappable.
func (s *sharedAnonymous) Translate(off, length uint64, write bool) (vfs.Backing, error) {
	if off >= s.r.Len() {
		return vfs.Backing{}, unix.EIO
	}
	return vfs.Backing{FD: s.mf.FD(), Offset: s.r.Start + off, Length: min(length, s.r.Len()-off), Memory: true}, nil
}

// AddMapping implements vfs.Mappable. There is nothing that would be invalidated.
func (s *sharedAnonymous) AddMapping(vfs.MappingSpace, uint64, uint64, uint64, bool) error {
	return nil
}

// RemoveMapping implements vfs.Mappable.
func (s *sharedAnonymous) RemoveMapping(vfs.MappingSpace, uint64, uint64, uint64, bool) {}

// PunchHole implements HolePuncher.
func (s *sharedAnonymous) PunchHole(off, length uint64) error {
	if off < s.r.Len() {
		length = min(length, s.r.Len()-off)
		s.mf.Decommit(memfile.Range{Start: s.r.Start + off, End: s.r.Start + off + length})
	}
	return nil
}
