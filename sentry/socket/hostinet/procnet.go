package hostinet

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// files are those of /proc/net that show the host's.
var files = []string{
	"arp", "dev", "icmp", "icmp6", "if_inet6", "ipv6_route", "netstat", "packet", "raw", "raw6", "route", "snmp", "snmp6",
	"sockstat", "sockstat6", "tcp", "tcp6", "udp", "udp6",
}

// A procFile is a file of the host's /proc/net.
type procFile struct {
	mu sync.Mutex // the file makes its text anew when it is read from the start
	fd int
}

// OpenProc opens the host's files of /proc/net, before the sandbox can open nothing any
// more. Those that the host does not have are left out.
func (h *Host) OpenProc() error {
	for _, name := range files {
		fd, err := unix.Open("/proc/self/net/"+name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			continue
		}
		if err != nil {
			return fmt.Errorf("opening the host's /proc/net/%s: %w", name, err)
		}
		h.files[name] = &procFile{fd: fd}
	}
	return nil
}

// ProcNet returns the host's file of that name of /proc/net, if there is one.
func (h *Host) ProcNet(name string) (text string, ok bool) {
	f := h.files[name]
	if f == nil {
		return "", false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var all []byte
	var buf [4096]byte
	for {
		n, err := unix.Pread(f.fd, buf[:], int64(len(all)))
		if err == unix.EINTR {
			continue
		}
		if n <= 0 {
			return string(all), true
		}
		all = append(all, buf[:n]...)
	}
}
