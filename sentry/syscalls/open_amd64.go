package syscalls

// oLargefile is O_LARGEFILE, which open(2) always sets on 64-bit machines.
const oLargefile = 0x8000
