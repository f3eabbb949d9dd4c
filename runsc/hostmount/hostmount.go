// Package hostmount says on which of the host's mounts a file is, for a container sees
// of its root and of bind mounts what it would see if they were the host's own.
package hostmount

import (
	"bufio"
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// A Mount is how a file appears in mountinfo (proc_pid_mountinfo(5)) when it is bound
// somewhere.
type Mount struct {
	Root    string // the file's path in its file system
	Options string // of the mount that the file is on
	Type    string
	Source  string
	Super   string // options of the file system
}

// Of returns the mount of the file called name, an absolute path without symbolic
// links. A mount that the caller cannot see (in a chroot) is one of type and source none.
func Of(name string) (Mount, error) {
	m, err := of(name)
	if err != nil {
		return m, fmt.Errorf("finding the mount of %s: %w", name, err)
	}
	return m, nil
}

func of(name string) (Mount, error) {
	var stx unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &stx); err != nil {
		return Mount{}, err
	}
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return Mount{}, err
	}
	defer f.Close()
	var best Mount
	length := -1
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<20) // an overlay of many layers has a long line
	for s.Scan() {
		id, point, m, ok := parse(s.Text())
		if !ok || !below(point, name) {
			continue
		}
		if stx.Mask&unix.STATX_MNT_ID != 0 {
			if id != stx.Mnt_id {
				continue
			}
		} else if len(point) < length {
			continue // before Linux 5.8 it is the last of the longest
		}
		length = len(point)
		best = m
		best.Root = path.Join(m.Root, name[len(strings.TrimSuffix(point, "/")):])
	}
	if err := s.Err(); err != nil {
		return Mount{}, err
	}
	if length < 0 {
		return Mount{Root: "/", Options: "rw,relatime", Type: "none", Source: "none", Super: "rw"}, nil
	}
	return best, nil
}

// below reports whether name is point or below it.
func below(point, name string) bool {
	rest, ok := strings.CutPrefix(name, strings.TrimSuffix(point, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// Parse takes a line of mountinfo apart: where it is mounted, and what.
func Parse(line string) (point string, m Mount, ok bool) {
	_, point, m, ok = parse(line)
	return point, m, ok
}

// parse is Parse, with the mount's number.
func parse(line string) (id uint64, point string, m Mount, ok bool) {
	first, last, ok := strings.Cut(line, " - ")
	f, l := strings.Split(first, " "), strings.Split(last, " ")
	if !ok || len(f) < 6 || len(l) != 3 {
		return 0, "", Mount{}, false
	}
	id, err := strconv.ParseUint(f[0], 10, 64)
	m = Mount{Root: unescape(f[3]), Options: f[5], Type: l[0], Source: unescape(l[1]), Super: l[2]}
	return id, unescape(f[4]), m, err == nil
}

// unescape replaces \ooo, as mountinfo has blanks and backslashes.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+4 <= len(s) {
			if v, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(v))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
