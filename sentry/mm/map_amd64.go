package mm

import "golang.org/x/sys/unix"

// map32Bit is MAP_32BIT, which other architectures do not have.
const map32Bit = unix.MAP_32BIT
