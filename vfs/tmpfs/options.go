package tmpfs

import (
	"strconv"
	"strings"
	"sync"

	"casemate/platform/memfile"
	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// A Type is tmpfs as mount(2) knows it.
type Type struct {
	// Mem is where file data goes.
	Mem *memfile.File
	// TypeName is "tmpfs", or another name by which it goes ("ramfs", "devtmpfs").
	TypeName string
	// DefaultSize and DefaultInodes are the limits without size= and nr_inodes=.
	DefaultSize, DefaultInodes uint64
}

// Name implements vfs.FSType.
func (t *Type) Name() string { return t.TypeName }

// Flags implements vfs.FSType.
func (t *Type) Flags() uint32 { return vfs.SBUserMount }

// Mount implements vfs.FSType.
func (t *Type) Mount(ctx *vfs.Context, source string, flags uint32, data string) (*vfs.Superblock, error) {
	o := Options{
		Size: t.DefaultSize, Inodes: t.DefaultInodes, Mode: 0o1777, Name: t.TypeName, Source: source,
		UID: ctx.Cred.FSUID, GID: ctx.Cred.FSGID, ReadOnly: flags&unix.MS_RDONLY != 0,
	}
	o, set, err := parseOptions(ctx, o, data)
	if err != nil {
		return nil, err
	}
	o.HideSize, o.HideInodes = !set.size, !set.inodes
	return New(ctx.MountNS.VFS(), t.Mem, o).Superblock(), nil
}

// optionsSet says which limits were among the options.
type optionsSet struct{ size, inodes bool }

// parseOptions applies the options of tmpfs(5) to o.
func parseOptions(ctx *vfs.Context, o Options, data string) (Options, optionsSet, error) {
	var set optionsSet
	for opt := range strings.SplitSeq(data, ",") {
		key, val, _ := strings.Cut(opt, "=")
		var err error
		switch key {
		case "":
		case "size":
			o.Size, err = parseSize(val)
			set.size = true
		case "nr_blocks":
			o.Size, err = parseSize(val)
			if o.Size > 1<<50 {
				err = unix.EINVAL
			}
			o.Size *= pageSize
			set.size = true
		case "nr_inodes":
			o.Inodes, err = parseSize(val)
			set.inodes = true
		case "mode":
			var m uint64
			m, err = strconv.ParseUint(val, 8, 32)
			o.Mode = uint32(m) & 0o7777
		case "uid":
			var id uint64
			id, err = strconv.ParseUint(val, 10, 32)
			uid, ok := ctx.Cred.UserNS.ToUID(uint32(id))
			if !ok {
				return o, set, unix.EINVAL
			}
			o.UID = uid
		case "gid":
			var id uint64
			id, err = strconv.ParseUint(val, 10, 32)
			gid, ok := ctx.Cred.UserNS.ToGID(uint32(id))
			if !ok {
				return o, set, unix.EINVAL
			}
			o.GID = gid
		case "huge", "mpol", "inode32", "inode64", "noswap":
			// They say how pages and numbers are chosen, which nobody sees.
		default:
			return o, set, unix.EINVAL
		}
		if err != nil {
			return o, set, unix.EINVAL
		}
	}
	return o, set, nil
}

// parseSize parses a number with a suffix k, m or g. A percentage is of the
// machine's memory.
func parseSize(s string) (uint64, error) {
	shift := 0
	switch {
	case s == "":
		return 0, unix.EINVAL
	case strings.HasSuffix(s, "%"):
		n, err := strconv.ParseUint(s[:len(s)-1], 10, 32)
		if err != nil {
			return 0, err
		}
		total, err := hostMemory()
		return total / 100 * n, err
	case strings.HasSuffix(strings.ToLower(s), "k"):
		shift = 10
	case strings.HasSuffix(strings.ToLower(s), "m"):
		shift = 20
	case strings.HasSuffix(strings.ToLower(s), "g"):
		shift = 30
	case strings.HasSuffix(strings.ToLower(s), "t"):
		shift = 40
	}
	if shift != 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil || n<<shift>>shift != n {
		return 0, unix.EINVAL
	}
	return n << shift, nil
}

// hostMemory is the size of the machine's memory. It is asked for once, before the
// sandbox is closed.
var hostMemory = sync.OnceValues(func() (uint64, error) {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0, err
	}
	return info.Totalram * uint64(info.Unit), nil
})
