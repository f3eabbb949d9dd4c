package vfs

import "sync"

// Mappings keeps account of who maps a file: the half of Mappable that is the same
// for all files. The zero Mappings is empty.
type Mappings struct {
	mu       sync.Mutex
	spaces   map[MappingSpace][]mapping
	writable uint64 // bytes mapped writable
	added    uint64 // counts AddMapping
}

// A mapping is a piece of an address space that maps a file at off.
type mapping struct {
	addr, length, off uint64
	writable          bool
}

// Add is Mappable.AddMapping.
func (s *Mappings) Add(m MappingSpace, addr, length, off uint64, writable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.spaces == nil {
		s.spaces = make(map[MappingSpace][]mapping)
	}
	s.added++
	if writable {
		s.writable += length
	}
	s.spaces[m] = append(s.spaces[m], mapping{addr, length, off, writable})
}

// Remove is Mappable.RemoveMapping.
func (s *Mappings) Remove(m MappingSpace, addr, length, off uint64, writable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	list := s.spaces[m]
	end := addr + length
	for i := 0; i < len(list); i++ {
		e := list[i]
		lo, hi := max(e.addr, addr), min(e.addr+e.length, end)
		if lo >= hi || e.writable != writable || e.off-e.addr != off-addr {
			continue
		}
		if writable {
			s.writable -= hi - lo
		}
		if hi < e.addr+e.length {
			list = append(list, mapping{hi, e.addr + e.length - hi, e.off + (hi - e.addr), writable})
		}
		if lo > e.addr {
			list[i].length = lo - e.addr
			continue
		}
		list[i] = list[len(list)-1]
		list = list[:len(list)-1]
		i--
	}
	if len(list) == 0 {
		delete(s.spaces, m)
	} else {
		s.spaces[m] = list
	}
}

// Writable reports whether there is a shared mapping that can be written.
func (s *Mappings) Writable() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.writable > 0
}

// Mapped reports whether there is any mapping.
func (s *Mappings) Mapped() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spaces) > 0
}

// Invalidate drops the translations of the bytes [from, to) of f in all address
// spaces, until none has been added meanwhile: see MappingSpace. f's Translate
// gives the new answers already. No lock is held that Translate takes.
func (s *Mappings) Invalidate(f Mappable, from, to uint64, dropPrivate bool) {
	type place struct {
		m MappingSpace
		mapping
	}
	var all []place
	for {
		all = all[:0]
		s.mu.Lock()
		added := s.added
		for m, list := range s.spaces {
			for _, e := range list {
				lo, hi := max(e.off, from), min(e.off+e.length, to)
				if lo < hi {
					all = append(all, place{m, mapping{addr: e.addr + (lo - e.off), length: hi - lo, off: lo}})
				}
			}
		}
		s.mu.Unlock()
		for _, p := range all {
			p.m.InvalidateMapping(f, p.addr, p.length, p.off, dropPrivate)
		}
		s.mu.Lock()
		same := s.added == added
		s.mu.Unlock()
		if same {
			return
		}
	}
}
