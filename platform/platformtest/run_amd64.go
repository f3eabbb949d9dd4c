package platformtest

import (
	"testing"

	"casemate/platform"
)

// Open opens the platform to be tested. It may call t.Skip when the host lacks
// what the platform needs.
type Open func(platform.Options) (platform.Platform, error)

// Run runs all tests.
func Run(t *testing.T, open Open) {
	for _, test := range []struct {
		name string
		f    func(*sentry)
	}{
		{"Syscall", testSyscall},
		{"SyscallKeepsRegisters", testSyscallKeepsRegisters},
		{"FullState", testFullState},
		{"TLS", testTLS},
		{"ResumeFull", testResumeFull},
		{"RestartSyscall", testRestartSyscall},
		{"RestartErrnos", testRestartErrnos},
		{"ForeignSyscallABI", testForeignSyscallABI},
		{"Vsyscall", testVsyscall},
		{"ReadThenWriteFault", testReadThenWriteFault},
		{"ExecFault", testExecFault},
		{"Exceptions", testExceptions},
		{"BadStackPointer", testBadStackPointer},
		{"BusError", testBusError},
		{"VectorState", testVectorState},
		{"HostileFPState", testHostileFPState},
		{"HostileRegisters", testHostileRegisters},
		{"ApplyOwn", testApplyOwn},
		{"ApplyForeign", testApplyForeign},
		{"PrivateMapping", testPrivateMapping},
		{"UserRange", testUserRange},
		{"Fork", testFork},
		{"SetAddressSpace", testSetAddressSpace},
		{"InterruptLoop", testInterruptLoop},
		{"InterruptInUpcall", testInterruptInUpcall},
		{"InterruptStorm", testInterruptStorm},
		{"Blocking", testBlocking},
		{"Threads", testThreads},
		{"Processes", testProcesses},
		{"ReleaseInUpcall", testReleaseInUpcall},
	} {
		t.Run(test.name, func(t *testing.T) { test.f(newSentry(t, open)) })
	}
}
