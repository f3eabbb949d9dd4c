package vdso

import (
	"casemate/platform/memfile"
	"casemate/sentry/mm"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// An Object is the vDSO of a sandbox: the page of parameters and the image, in the
// memory file. It lives as long as the sandbox.
type Object struct {
	*Params
	mf *memfile.File
	r  memfile.Range // ParamsSize bytes of parameters, then the image
}

// New makes the sandbox's vDSO. See NewParams for when it is to be called. ENOMEM
// if the memory file has no room.
func New(mf *memfile.File, o Options) (*Object, error) {
	image := Image()
	r, err := mf.Allocate(ParamsSize + uint64(len(image)))
	if err != nil {
		return nil, err
	}
	copy(mf.Bytes(r.Start+ParamsSize, uint64(len(image))), image)
	return &Object{Params: NewParams(mf.Bytes(r.Start, ParamsSize), o), mf: mf, r: r}, nil
}

// Map maps the vDSO into a new address space and returns the address of the image,
// 0 on architectures that have none.
func (v *Object) Map(m *mm.MemoryManager) (uint64, error) {
	if len(Image()) == 0 {
		return 0, nil
	}
	// Together first, so that they are neighbours. Nobody may write to the
	// parameters, which all address spaces share; in the image, a debugger sets
	// breakpoints, in its own copy.
	addr, err := m.Map(nil, mm.MapOptions{
		Length: v.r.Len(), Prot: unix.PROT_READ, Flags: unix.MAP_SHARED, MaxProt: unix.PROT_READ,
		File: v, Mappable: v, Name: "[vvar]", Limits: mm.NoLimits,
	})
	if err != nil {
		return 0, err
	}
	return m.Map(nil, mm.MapOptions{
		Addr: addr + ParamsSize, Length: v.r.Len() - ParamsSize, Offset: ParamsSize,
		Prot: unix.PROT_READ | unix.PROT_EXEC, Flags: unix.MAP_PRIVATE | unix.MAP_FIXED,
		MaxProt: unix.PROT_READ | unix.PROT_WRITE | unix.PROT_EXEC,
		File:    v, Mappable: v, Name: "[vdso]", Limits: mm.NoLimits,
	})
}

// IncRef implements mm.File. The Object outlives all mappings.
func (v *Object) IncRef() {}

// DecRef implements mm.File.
func (v *Object) DecRef() {}

// BeingWritten implements mm.File. What is mapped privately is the image.
func (v *Object) BeingWritten() bool { return false }

// Translate implements vfs.Mappable.
func (v *Object) Translate(off, length uint64, _ bool) (vfs.Backing, error) {
	if off >= v.r.Len() {
		return vfs.Backing{}, unix.EIO
	}
	return vfs.Backing{FD: v.mf.FD(), Offset: v.r.Start + off, Length: min(length, v.r.Len()-off), Memory: true}, nil
}

// AddMapping implements vfs.Mappable. There is nothing that would be invalidated.
func (v *Object) AddMapping(vfs.MappingSpace, uint64, uint64, uint64, bool) error { return nil }

// RemoveMapping implements vfs.Mappable.
func (v *Object) RemoveMapping(vfs.MappingSpace, uint64, uint64, uint64, bool) {}
