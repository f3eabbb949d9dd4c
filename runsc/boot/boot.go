// Package boot is the inside of a sandbox process: it makes a kernel out of an OCI
// configuration, shuts itself in, runs the container and tells runsc of its end.
package boot

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/runsc/confine"
	"casemate/runsc/control"
	"casemate/runsc/seccomp"
	"casemate/sentry/hostfd"
	"casemate/sentry/kernel"
	"casemate/sentry/socket/hostinet"
	"casemate/sentry/syscalls"
	"casemate/sentry/vdso"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// A sandbox is what Run makes.
type sandbox struct {
	control.Boot
	conn       *control.Conn
	log        *slog.Logger
	level      *slog.LevelVar // of log
	host       hostInfo
	platform   platform.Platform
	memory     *memfile.File
	vdso       *vdso.Object
	poller     *hostfd.Poller // of hostFDs and hostNet
	hostFDs    *hostfd.FS
	hostNet    *hostinet.Host      // nil unless --network=host
	userNS     *cred.UserNamespace // of the first container
	vfs        *vfs.VFS
	kernel     *kernel.Kernel
	watch      *memoryWatch
	registered atomic.Bool // a devpts is the driver of terminals

	mu         sync.Mutex
	containers map[string]*container
}

// Run runs a sandbox in this process, which runsc has started with the descriptors
// that package control lists. It returns when the first container has ended, with the
// exit code by which the host knows its end.
func Run() (code int, err error) {
	conn := control.NewConn(os.NewFile(control.FDControl, "control"), control.MaxBoot)
	s := &sandbox{conn: conn, containers: map[string]*container{}}
	if err := conn.Receive(&s.Boot); err != nil {
		return 1, fmt.Errorf("reading the configuration: %w", err)
	}
	root, err := s.start()
	if err != nil {
		return 1, conn.Send(failure(err))
	}
	if err := conn.Send(&control.Reply{}); err != nil {
		return 1, err
	}
	go s.watch.run()
	go s.listen()
	go s.converse(conn)
	select {
	case <-root.init.done:
	case <-root.gofer.Done():
		return 1, errors.New("the gofer died: the container has no files any more")
	}
	s.log.Info("the container's process has ended", "status", root.init.exit)
	code = root.init.exit.Status()
	if _, err := fmt.Fprintln(os.NewFile(control.FDExit, "exit code"), code); err != nil {
		s.log.Error("noting the exit code", "error", err)
	}
	root.init.tell()
	return code, nil
}

// failure is the reply to what has failed.
func failure(err error) *control.Reply {
	r := &control.Reply{Failed: err.Error(), Code: 1}
	var start *startError
	if errors.As(err, &start) {
		r.Code = start.code
	}
	return r
}

// start makes the kernel and the first container, and shuts the process in.
func (s *sandbox) start() (*container, error) {
	debug.SetGCPercent(200)
	// An explicit number keeps the Go runtime from reading cgroup files later. The two more
	// are for threads that wait for a stub, in a system call or polling: if none were left
	// over, the runtime would look every 20 µs for one to be had back.
	runtime.GOMAXPROCS(runtime.NumCPU() + 2)
	handler, level := s.Config.DebugHandler(os.NewFile(control.FDDebugLog, "debug log"))
	s.log, s.level = slog.New(handler), level
	s.log.Info("starting", "version", s.Version, "id", s.ID, "args", s.Spec.Process.Args)
	if err := s.host.read(); err != nil {
		return nil, err
	}
	limits := s.limitsOf(resources(&s.Boot.Container), s.Limits)
	// The platform and the vDSO look at /proc and /sys while they start; the stubs move
	// with the root.
	var err error
	options := platform.Options{FullStateSyscalls: syscalls.Table().FullState(), Log: s.logf}
	if s.platform, err = openPlatform(s.Config.Platform, options, s.log); err != nil {
		return nil, err
	}
	if s.memory, err = memfile.New(); err != nil {
		return nil, fmt.Errorf("creating the memory file: %w", err)
	}
	if s.vdso, err = vdso.New(s.memory, vdso.Options{CPUs: limits.cpus, Log: s.logf}); err != nil {
		return nil, fmt.Errorf("making the vDSO: %w", err)
	}
	if s.poller, err = hostfd.NewPoller(); err != nil {
		return nil, err
	}
	if s.Config.Network == "host" {
		if err := s.openHostNetwork(); err != nil {
			return nil, err
		}
	}
	// A sentry that has been taken over shall not gain capabilities in a user namespace
	// of a stub's making. The host may have its sysctls read-only.
	if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0); err != nil {
		s.log.Info("user namespaces cannot be forbidden", "error", err)
	}
	if err := enterEmptyRoot(); err != nil {
		return nil, err
	}
	if err := s.makeKernel(&limits); err != nil {
		return nil, err
	}
	files := []int{control.FDGofer, control.FDStdin, control.FDStdout, control.FDStderr}
	for i := range s.Preserved {
		files = append(files, control.FDMore+i)
	}
	for i := range s.Stores {
		files = append(files, control.FDMore+s.Preserved+i)
	}
	root, err := s.prepare(&s.Boot.Container, files)
	if err != nil {
		return nil, err
	}
	if err := confine.Capabilities(0); err != nil {
		return nil, err
	}
	signals := hostSignals()
	if err := seccomp.Install(s.rules()); err != nil {
		return nil, err
	}
	if err := root.create(); err != nil {
		return nil, err
	}
	go root.forward(signals)
	s.containers[root.ID] = root
	return root, nil
}

func (s *sandbox) logf(format string, args ...any) { s.log.Info(fmt.Sprintf(format, args...)) }

// enterEmptyRoot takes the host's file system away.
func enterEmptyRoot() error {
	var err error
	for _, dir := range []string{"/proc", "/tmp", "/sys", "/dev"} {
		if err = confine.EmptyRoot(dir); err == nil {
			return confine.EnterRoot(dir)
		}
	}
	return err
}

// hostInfo is what the sandbox takes over from the host.
type hostInfo struct {
	// name and domain are what a container has that is given none (uname(2)).
	name, domain string

	cpuInfo  string
	memory   uint64 // bytes
	cpus     int
	maxTasks int64 // what the host can well spare of its own
	memInfo  int   // descriptor of /proc/meminfo, which stays open
}

func (h *hostInfo) read() error {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Errorf("reading the host's CPUs: %w", err)
	}
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return fmt.Errorf("reading the host's memory: %w", err)
	}
	var names unix.Utsname
	if err := unix.Uname(&names); err != nil {
		return fmt.Errorf("reading the host's name: %w", err)
	}
	h.name, h.domain = unix.ByteSliceToString(names.Nodename[:]), unix.ByteSliceToString(names.Domainname[:])
	h.memory = si.Totalram * uint64(si.Unit)
	h.cpus = runtime.NumCPU()
	h.cpuInfo = string(info)
	h.maxTasks = int64(max(min(32768, h.memory/memoryPerTask), 512))
	for _, name := range []string{"pid_max", "threads-max"} {
		n, err := readNumber("/proc/sys/kernel/" + name)
		if err != nil {
			return fmt.Errorf("reading the host's limit on tasks: %w", err)
		}
		h.maxTasks = min(h.maxTasks, n/4)
	}
	if h.memInfo, err = unix.Open("/proc/meminfo", unix.O_RDONLY|unix.O_CLOEXEC, 0); err != nil {
		return fmt.Errorf("opening the host's /proc/meminfo: %w", err)
	}
	return nil
}

// memoryPerTask is how much memory of the host there must be for each task that a
// sandbox may have by default. A process takes a quarter MiB of the host's kernel
// memory, so that an eighth of the memory is what a sandbox can take by making them.
const memoryPerTask = 2 << 20

// readNumber reads a file that holds a number.
func readNumber(path string) (int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}

// firstCPUs is the part of /proc/cpuinfo that describes the first n CPUs, which are
// separated by empty lines.
func firstCPUs(info string, n int) string {
	end := 0
	for range n {
		i := strings.Index(info[end:], "\n\n")
		if i < 0 {
			return info
		}
		end += i + 2
	}
	return info[:end]
}
