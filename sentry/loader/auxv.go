package loader

import (
	"encoding/binary"
	"sync"

	"golang.org/x/sys/unix"
)

// Types of the auxiliary vector's entries (getauxval(3), linux/auxvec.h).
const (
	atNull         = 0
	atPhdr         = 3
	atPhent        = 4
	atPhnum        = 5
	atPagesz       = 6
	atBase         = 7
	atFlags        = 8
	atEntry        = 9
	atUID          = 11
	atEUID         = 12
	atGID          = 13
	atEGID         = 14
	atPlatform     = 15
	atHwcap        = 16
	atClktck       = 17
	atSecure       = 23
	atRandom       = 25
	atHwcap2       = 26
	atExecfn       = 31
	atSysinfoEhdr  = 33
	atMinsigstksz  = 51
	auxEntrySize   = 16
	clockTicks     = 100 // USER_HZ
	randomBytes    = 16
	stackAlignment = 16
)

// hostAuxv holds what the host's kernel says about the processor in the sentry's
// own auxiliary vector.
var hostAuxv = sync.OnceValue(func() map[uint64]uint64 {
	m := make(map[uint64]uint64)
	// Without it, which only a kernel older than any that Go supports can bring
	// about, nothing is said.
	entries, _ := unix.Auxv()
	for _, e := range entries {
		m[uint64(e[0])] = uint64(e[1])
	}
	return m
})

// auxAddresses are addresses that the auxiliary vector tells.
type auxAddresses struct {
	phdrs, base, entry, vdso uint64
}

// auxv returns the auxiliary vector, in Linux's order.
func (p *Program) auxv(o *Options, st *stack, a auxAddresses) []byte {
	host := hostAuxv()
	secure := uint64(0)
	if o.Secure {
		secure = 1
	}
	entries := [][2]uint64{
		{atSysinfoEhdr, a.vdso},
		{atMinsigstksz, host[atMinsigstksz]},
		{atHwcap, host[atHwcap]},
		{atPagesz, uint64(unix.Getpagesize())},
		{atClktck, clockTicks},
		{atPhdr, a.phdrs},
		{atPhent, phdrSize},
		{atPhnum, uint64(len(p.elf.phdrs))},
		{atBase, a.base},
		{atFlags, 0},
		{atEntry, a.entry},
		{atUID, uint64(o.UID)},
		{atEUID, uint64(o.EUID)},
		{atGID, uint64(o.GID)},
		{atEGID, uint64(o.EGID)},
		{atSecure, secure},
		{atRandom, st.random},
		{atHwcap2, host[atHwcap2]},
		{atExecfn, st.execfn},
		{atPlatform, st.platform},
		{atNull, 0},
	}
	// Entries that this host or sandbox has nothing for are left out.
	out := make([]byte, 0, len(entries)*auxEntrySize)
	for _, e := range entries {
		if e[1] == 0 && (e[0] == atSysinfoEhdr || e[0] == atMinsigstksz || e[0] == atHwcap2) {
			continue
		}
		out = binary.LittleEndian.AppendUint64(out, e[0])
		out = binary.LittleEndian.AppendUint64(out, e[1])
	}
	return out
}
