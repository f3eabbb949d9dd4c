package mm

// map32Bit stands for MAP_32BIT, which arm64 does not have.
const map32Bit = 0
