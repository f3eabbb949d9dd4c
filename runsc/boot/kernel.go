package boot

import (
	"cmp"
	"fmt"

	"casemate/sentry/cgroupfs"
	"casemate/sentry/hostfd"
	"casemate/sentry/kernel"
	"casemate/sentry/procfs"
	"casemate/sentry/socket/families"
	"casemate/sentry/socket/tundev"
	"casemate/sentry/syscalls"
	"casemate/sentry/sysfs"
	"casemate/sentry/tty"
	"casemate/vfs"
	"casemate/vfs/cred"
	"casemate/vfs/devfs"
	"casemate/vfs/overlay"
	"casemate/vfs/tmpfs"
)

// makeKernel makes the kernel and what belongs to it, without any mount.
func (s *sandbox) makeKernel(l *limits) error {
	var err error
	if s.userNS, err = s.userNamespace(s.Spec, cred.NewRootUserNamespace()); err != nil {
		return err
	}
	s.vfs = vfs.New(s.userNS)
	s.kernel = kernel.New(kernel.Options{
		Platform:    s.platform,
		Memory:      s.memory,
		Table:       syscalls.Table(),
		VFS:         s.vfs,
		MapVDSO:     s.vdso.Map,
		Clock:       s.vdso.Now,
		UserNS:      s.userNS,
		Hostname:    cmp.Or(s.Spec.Hostname, s.host.name),
		CPUs:        l.cpus,
		TotalMemory: l.memory,
		MaxTasks:    l.tasks,
		Hierarchies: s.Hierarchies,
		Log:         s.logf,
	})
	s.kernel.RootNamespaces().UTS.SetDomain(cmp.Or(s.Spec.Domainname, s.host.domain))
	s.kernel.Printk(kernel.LevelInfo, "Linux version %s (casemate) %s", kernel.Release, kernel.Version)
	s.kernel.Printk(kernel.LevelInfo, "Command line: quiet")
	s.kernel.Printk(kernel.LevelInfo, "Casemate %s: system calls are served by a kernel in user space", s.Version)
	s.kernel.Printk(kernel.LevelInfo, "Memory: %dK available", l.memory>>10)
	s.kernel.Printk(kernel.LevelInfo, "smp: %d CPUs", l.cpus)
	if s.Config.Strace {
		s.kernel.SetStrace(func(line string) { s.log.Debug(line) })
	}
	if err := families.Register(s.kernel, nil, s.hostNet); err != nil {
		return fmt.Errorf("making the network: %w", err)
	}
	if err := s.watchPackets(); err != nil {
		return err
	}
	devfs.Register(s.vfs)
	tundev.Register(s.kernel)
	for _, name := range []string{"cgroup", "cgroup2"} {
		s.vfs.RegisterType(&cgroupfs.Type{TypeName: name, Kernel: s.kernel})
	}
	s.vfs.RegisterType(&sysfs.Type{Kernel: s.kernel})
	s.vfs.RegisterType(&procfs.Type{Kernel: s.kernel, Options: s.procOptions()})
	s.vfs.RegisterType(&tty.Type{Kernel: s.kernel})
	s.vfs.RegisterType(overlay.Type{})
	s.vfs.RegisterType(&tmpfs.Type{TypeName: "tmpfs", Mem: s.memory, DefaultSize: l.memory / 2, DefaultInodes: l.memory / 8192})
	// As in a container's own mounts, so that a runtime inside can make those of its containers.
	s.vfs.RegisterType(&tmpfs.Type{TypeName: "mqueue", Mem: s.memory})
	s.hostFDs = hostfd.New(s.vfs, s.poller)
	s.watch = s.newMemoryWatch(l)
	return nil
}

// procOptions are what /proc shows that the kernel does not know.
func (s *sandbox) procOptions() procfs.Options {
	return procfs.Options{
		CPUInfo:     func() string { return firstCPUs(s.host.cpuInfo, s.kernel.CPUs()) },
		Version:     "Linux version " + kernel.Release + " (casemate) " + kernel.Version + "\n",
		CommandLine: "quiet\n",
		Net:         families.ProcNet(s.kernel),
		Sysctl:      families.Sysctl(s.kernel),
	}
}
