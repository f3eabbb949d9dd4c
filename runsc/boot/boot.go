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

	"golang.org/x/sys/unix"

	"casemate/gofer"
	"casemate/platform"
	"casemate/platform/memfile"
	"casemate/runsc/confine"
	"casemate/runsc/control"
	"casemate/runsc/seccomp"
	"casemate/sentry/hostfd"
	"casemate/sentry/kernel"
	"casemate/sentry/socket/hostinet"
	"casemate/sentry/syscalls"
	"casemate/sentry/tty"
	"casemate/sentry/vdso"
	"casemate/vfs"
	"casemate/vfs/cred"
)

// A sandbox is what Run makes.
type sandbox struct {
	control.Boot
	conn     *control.Conn
	log      *slog.Logger
	host     hostInfo
	platform platform.Platform
	memory   *memfile.File
	vdso     *vdso.Object
	gofer    *gofer.Client
	poller   *hostfd.Poller // of hostFDs and hostNet
	hostFDs  *hostfd.FS
	hostNet  *hostinet.Host // nil unless --network=host
	userNS   *cred.UserNamespace
	vfs      *vfs.VFS
	kernel   *kernel.Kernel
	mounts   *vfs.MountNamespace
	ctx      *vfs.Context // of the sandbox itself: root with all capabilities
	devpts   *tty.FileSystem
	terminal *tty.Terminal // nil if the container has none
}

// Run runs a sandbox in this process, which runsc has started with the descriptors
// that package control lists. It returns when the container's process has ended; the
// reply has been sent then.
func Run() error {
	conn := control.NewConn(os.NewFile(control.FDControl, "control"), control.MaxBoot)
	s := &sandbox{conn: conn}
	if err := conn.Receive(&s.Boot); err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	if err := s.run(); err != nil {
		reply := control.Reply{Failed: err.Error(), Code: 1}
		var start *startError
		if errors.As(err, &start) {
			reply.Code = start.code
		}
		return conn.Send(&reply)
	}
	return nil
}

func (s *sandbox) run() error {
	debug.SetGCPercent(200)
	// An explicit number keeps the Go runtime from reading cgroup files later.
	runtime.GOMAXPROCS(max(runtime.NumCPU(), 2))
	s.log = slog.New(s.Config.DebugHandler(os.NewFile(control.FDDebugLog, "debug log")))
	s.log.Info("starting", "version", s.Version, "id", s.ID, "args", s.Spec.Process.Args)
	if err := s.host.read(); err != nil {
		return err
	}
	// The platform and the vDSO look at /proc and /sys while they start; the stubs move
	// with the root.
	var err error
	options := platform.Options{FullStateSyscalls: syscalls.Table().FullState(), Log: s.logf}
	if s.platform, err = openPlatform(s.Config.Platform, options, s.log); err != nil {
		return err
	}
	if s.memory, err = memfile.New(); err != nil {
		return fmt.Errorf("creating the memory file: %w", err)
	}
	if s.vdso, err = vdso.New(s.memory, vdso.Options{CPUs: s.host.cpus, Log: s.logf}); err != nil {
		return fmt.Errorf("making the vDSO: %w", err)
	}
	if s.poller, err = hostfd.NewPoller(); err != nil {
		return err
	}
	if s.Config.Network == "host" {
		if err := s.openHostNetwork(); err != nil {
			return err
		}
	}
	if err := enterEmptyRoot(); err != nil {
		return err
	}
	if s.gofer, err = gofer.Dial(control.FDGofer); err != nil {
		return fmt.Errorf("connecting to the gofer: %w", err)
	}
	if err := s.makeKernel(); err != nil {
		return err
	}
	if err := s.assemble(); err != nil {
		return err
	}
	if err := s.checkSysctls(); err != nil {
		return err
	}
	if err := confine.Capabilities(0); err != nil {
		return err
	}
	if err := seccomp.Install(s.rules()); err != nil {
		return err
	}
	return s.runInit()
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
	cpuInfo string
	memory  uint64
	cpus    int
}

func (h *hostInfo) read() error {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return fmt.Errorf("reading the host's CPUs: %w", err)
	}
	h.cpuInfo = string(info)
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return fmt.Errorf("reading the host's memory: %w", err)
	}
	h.memory = si.Totalram * uint64(si.Unit)
	h.cpus = runtime.NumCPU()
	return nil
}
