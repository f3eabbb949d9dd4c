package run

import (
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// normal takes the bundle's own path out of what a container printed.
func normal(b *bundle, out string) string {
	return strings.ReplaceAll(out, b.dir, "BUNDLE")
}

// fileCapabilities puts a busybox into the bundle that has CAP_NET_RAW and CAP_KILL
// permitted and effective (capabilities(7), "File capability extended attribute
// versioning").
func fileCapabilities(t *testing.T, b *bundle) {
	data, err := os.ReadFile(b.rootfs("bin/busybox"))
	must(t, err)
	must(t, os.WriteFile(b.rootfs("bin/capable"), data, 0o755))
	const revision2, effective = 0x02000000, 1
	var attr [20]byte
	binary.LittleEndian.PutUint32(attr[0:], revision2|effective)
	binary.LittleEndian.PutUint32(attr[4:], 1<<unix.CAP_NET_RAW|1<<unix.CAP_KILL)
	must(t, unix.Setxattr(b.rootfs("bin/capable"), "security.capability", attr[:], 0))
	b.spec.Process.Args = []string{"/bin/capable", "grep", "-E", "^(Uid|Gid|Cap)", "/proc/self/status"}
}
