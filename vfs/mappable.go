package vfs

// A Mappable is a file that can be mapped into memory. Offsets are in the file,
// multiples of the page size.
type Mappable interface {
	// Translate returns where the file's bytes [off, off+length) are: a host
	// descriptor (the memory file's or a donated one), the offset there, and for
	// how many bytes that holds (at least a page, at most length). It allocates
	// what does not exist yet when write or private use needs it. EIO past the
	// last page of the file (the toucher gets SIGBUS), ENOSPC, ENOMEM, EACCES.
	Translate(off, length uint64, write bool) (Backing, error)
	// AddMapping and RemoveMapping tell the file of an address range that maps
	// it, so that a truncation or a copy-up can invalidate it. They must not
	// block on anything but the file's own locks. RemoveMapping may be called for
	// a part of what was added, and for adjacent ones together.
	AddMapping(m MappingSpace, addr, length, off uint64, writable bool) error
	RemoveMapping(m MappingSpace, addr, length, off uint64, writable bool)
}

// A Backing is where mapped bytes are on the host.
type Backing struct {
	FD     int    // descriptor of the sentry; it stays open while the mapping is registered
	Offset uint64 // offset of the first byte in FD
	Length uint64
	Memory bool // FD is the sandbox's memory file, in which Offset is a reference-counted range
}

// A MappingSpace is an address space that maps files: the memory manager.
//
// A file that takes bytes away (truncation) or gives them another place (copy-up)
// first changes what Translate answers, then collects its mappings under its own
// lock, and calls InvalidateMapping for each without that lock, since a
// MappingSpace calls the file with locks of its own held. It does so again until
// no mapping has been added since it collected: fork and mremap add mappings that
// take over translations. Only then may it give the bytes away.
type MappingSpace interface {
	// InvalidateMapping drops the host's translations of what of
	// [addr, addr+length) maps f at off onwards (other mappings that have come
	// there meanwhile stay), so that the next access asks Translate again.
	// Private copies of pages stay unless dropPrivate (truncation does that).
	InvalidateMapping(f Mappable, addr, length, off uint64, dropPrivate bool)
}
