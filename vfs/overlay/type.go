package overlay

import (
	"strings"

	"casemate/vfs"

	"golang.org/x/sys/unix"
)

// A Type is overlay as mount(2) knows it: lowerdir=, upperdir= and workdir=.
type Type struct{}

// Name implements vfs.FSType.
func (Type) Name() string { return "overlay" }

// Flags implements vfs.FSType.
func (Type) Flags() uint32 { return vfs.SBUserMount }

// Mount implements vfs.FSType. The working directory is not needed, but must be
// given with an upper one, as Linux wants it.
func (Type) Mount(ctx *vfs.Context, source string, _ uint32, data string) (*vfs.Superblock, error) {
	o := Options{Source: source, Show: data}
	var lower, upper, work string
	for opt := range strings.SplitSeq(data, ",") {
		key, val, _ := strings.Cut(opt, "=")
		switch key {
		case "lowerdir":
			lower = val
		case "upperdir":
			upper = val
		case "workdir":
			work = val
		case "", "userxattr", "volatile", "index", "xino", "redirect_dir", "metacopy", "nfs_export", "uuid":
			// They are about how it is kept, which is this mount's own affair.
		default:
			return nil, unix.EINVAL
		}
	}
	if lower == "" || upper != "" && work == "" {
		return nil, unix.EINVAL
	}
	for dir := range strings.SplitSeq(lower, ":") {
		l, err := layerAt(ctx, dir)
		if err != nil {
			release(o)
			return nil, err
		}
		o.Lower = append(o.Lower, l)
	}
	if upper != "" {
		l, err := layerAt(ctx, upper)
		if err != nil {
			release(o)
			return nil, err
		}
		o.Upper = &l
		if l.Superblock.ReadOnly() {
			o.Upper = nil
			l.Root.DecRef()
		}
	}
	fs, err := New(ctx.MountNS.VFS(), o)
	if err != nil {
		return nil, err
	}
	return fs.Superblock(), nil
}

// release lets go of the layers of options that come to nothing.
func release(o Options) {
	for _, l := range o.Lower {
		l.Root.DecRef()
	}
}

// layerAt returns the layer that a directory is.
func layerAt(ctx *vfs.Context, path string) (Layer, error) {
	p, err := ctx.Walk(vfs.Start{}, path, vfs.WalkFollow|vfs.WalkDirectory)
	if err != nil {
		return Layer{}, err
	}
	defer p.DecRef()
	in := p.Inode()
	in.IncRef()
	return Layer{p.Mount.Superblock(), in}, nil
}
