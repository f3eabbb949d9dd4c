package loader

import (
	"encoding/binary"

	"casemate/platform/arch"

	"golang.org/x/sys/unix"
)

// stackRoom is how much of the stack exists below the strings at first.
const stackRoom = 32 * arch.PageSize

// stack is the initial stack. From its end downwards:
//
//	8 bytes of zero
//	Program.Filename        execfn
//	environment             envStart
//	arguments               argStart
//	alignment
//	AT_PLATFORM's string    platform
//	16 random bytes         random
//	alignment
//	auxiliary vector, environment pointers, argument pointers, argc
type stack struct {
	p *Program
	o *Options

	execfn, envStart, argStart, platform, random uint64
}

// newStack maps the stack and says what goes where, but for the vectors.
func (p *Program) newStack(mem Memory, o *Options) (*stack, error) {
	st := &stack{p: p, o: o}
	st.execfn = o.StackTop - pointerSize - uint64(len(p.Filename)) - 1
	st.envStart = st.execfn - stringsLength(p.Envp)
	st.argStart = st.envStart - stringsLength(p.Argv)
	const shift = 8192
	aligned := (st.argStart - o.StackRandom%shift) &^ (stackAlignment - 1)
	st.platform = aligned - uint64(len(platformName)) - 1
	st.random = st.platform - randomBytes

	// The strings are below 6 MiB (Open): all these are far above 0.
	low := arch.PageRoundDown(st.argStart)
	size := o.StackTop - low
	size = max(size, min(size+stackRoom, arch.PageRoundDown(o.StackLimit)))
	// The vectors may need more than that.
	vectors := uint64(len(p.Argv)+len(p.Envp)+64) * pointerSize
	size = max(size, arch.PageRoundDown(o.StackTop-(st.random-vectors)+arch.PageMask))
	prot := unix.PROT_READ | unix.PROT_WRITE
	if p.elf.executableStack() {
		prot |= unix.PROT_EXEC
	}
	_, err := mem.Map(Mapping{
		Addr: o.StackTop - size, Length: size, Prot: prot,
		Flags: unix.MAP_PRIVATE | unix.MAP_FIXED | unix.MAP_GROWSDOWN,
	})
	return st, err
}

// write writes the stack and fills in im's part about it.
func (st *stack) write(mem Memory, im *Image) error {
	argv, envp := st.p.Argv, st.p.Envp
	words := 1 + len(argv) + 1 + len(envp) + 1
	sp := (st.random - uint64(len(im.Auxv)) - uint64(words)*pointerSize) &^ (stackAlignment - 1)
	image := make([]byte, st.o.StackTop-sp)

	// The vectors.
	w := image[:0]
	put := func(v uint64) { w = binary.LittleEndian.AppendUint64(w, v) }
	put(uint64(len(argv)))
	at := st.argStart
	for _, s := range argv {
		put(at)
		at += uint64(len(s)) + 1
	}
	put(0)
	for _, s := range envp {
		put(at)
		at += uint64(len(s)) + 1
	}
	put(0)
	copy(image[len(w):], im.Auxv)

	// The strings; the bytes between are zeros.
	copy(image[st.random-sp:], st.o.Random[:])
	copy(image[st.platform-sp:], platformName)
	b := image[st.argStart-sp:]
	for _, list := range [][]string{argv, envp} {
		for _, s := range list {
			b = b[copy(b, s)+1:]
		}
	}
	copy(b, st.p.Filename)

	im.SP = sp
	im.ArgStart, im.ArgEnd = st.argStart, st.envStart
	im.EnvStart, im.EnvEnd = st.envStart, st.execfn
	if _, err := mem.CopyOut(sp, image); err != nil {
		return unix.EFAULT
	}
	return nil
}
