package tty

import (
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"casemate/sentry/kernel"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// A Type is devpts as mount(2) knows it: every mount is an instance of its own.
type Type struct {
	Kernel *kernel.Kernel
}

// Name implements vfs.FSType.
func (*Type) Name() string { return "devpts" }

// Flags implements vfs.FSType.
func (*Type) Flags() uint32 { return vfs.SBUserMount }

// Mount implements vfs.FSType. EINVAL for an unknown option or an id that the
// caller's user namespace does not have.
func (t *Type) Mount(ctx *vfs.Context, source string, _ uint32, data string) (*vfs.Superblock, error) {
	o, err := parseOptions(ctx.Cred.UserNS, data)
	if err != nil {
		return nil, err
	}
	return &New(t.Kernel.VFS(), t.Kernel, source, o).Superblock, nil
}

// parseOptions reads the options of devpts (Documentation/filesystems/devpts.rst).
func parseOptions(ns *cred.UserNamespace, data string) (Options, error) {
	o := Options{Mode: 0o600}
	for opt := range strings.SplitSeq(data, ",") {
		key, val, _ := strings.Cut(opt, "=")
		var n uint64
		var err error
		ok := true
		switch key {
		case "", "newinstance":
			continue
		case "uid", "gid", "max":
			n, err = strconv.ParseUint(val, 10, 32)
		case "mode", "ptmxmode":
			n, err = strconv.ParseUint(val, 8, 32)
			n &= 0o777
		default:
			return o, unix.EINVAL
		}
		switch key {
		case "uid":
			o.UID, ok = ns.ToUID(uint32(n))
			o.SetUID = true
		case "gid":
			o.GID, ok = ns.ToGID(uint32(n))
			o.SetGID = true
		case "mode":
			o.Mode = uint32(n)
		case "ptmxmode":
			o.PtmxMode = uint32(n)
		case "max":
			o.Max = uint32(n)
			ok = n <= maxTerminals
		}
		if err != nil || !ok {
			return o, unix.EINVAL
		}
	}
	return o, nil
}
