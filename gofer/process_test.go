package gofer

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// The test binary, started again with one of these set, is the peer of the
// test, on descriptor 3.
const (
	serverEnv = "GOFER_TEST_SERVER" // a server; the value is the flags of each tree on descriptors 4, 5, ...
	echoEnv   = "GOFER_TEST_ECHO"   // sends each message back
)

func TestMain(m *testing.M) {
	if flags, ok := os.LookupEnv(serverEnv); ok {
		if err := serveProcess(flags); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	if os.Getenv(echoEnv) != "" {
		buf := make([]byte, 128)
		for n, err := unix.Read(3, buf); n > 0 && err == nil; n, err = unix.Read(3, buf) {
			unix.Write(3, buf[:n])
		}
		return
	}
	os.Exit(m.Run())
}

func serveProcess(flags string) error {
	var trees []Tree
	for i, s := range strings.Fields(flags) {
		f, err := strconv.Atoi(s)
		if err != nil {
			return err
		}
		trees = append(trees, Tree{FD: 4 + i, ReadOnly: f&treeReadOnly != 0, Shared: f&treeShared != 0, Connect: f&treeConnect != 0})
	}
	s, err := newServer(3, trees)
	if err != nil {
		return err
	}
	if err := restrict(SyscallsNeeded(trees)); err != nil {
		return err
	}
	return s.Serve()
}

// startProcess starts a peer with descriptors 4, 5, ..., and returns the
// test's end of the socket to it.
func startProcess(t testing.TB, env, value string, files []*os.File) int {
	conn, _ := startProcessAs(t, env, value, files, nil)
	return conn
}

func startProcessAs(t testing.TB, env, value string, files []*os.File, cred *syscall.Credential) (int, *os.Process) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	check(t, err)
	conn := os.NewFile(uintptr(p[0]), "the peer's end")
	defer conn.Close()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), env+"="+value)
	cmd.Stderr = os.Stderr
	cmd.ExtraFiles = append([]*os.File{conn}, files...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred}
	check(t, cmd.Start())
	t.Cleanup(func() { cmd.Wait() })
	return p[1], cmd.Process
}

// processPair is dirPair with the server in a process of its own, as it is in
// use, under a filter of the calls that it says it needs.
func processPair(t testing.TB) (*Client, string, Node, *os.Process) {
	t.Helper()
	return processPairAs(t, nil)
}

func processPairAs(t testing.TB, cred *syscall.Credential) (*Client, string, Node, *os.Process) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.Open(dir)
	check(t, err)
	defer root.Close()
	conn, proc := startProcessAs(t, serverEnv, "0", []*os.File{root}, cred)
	c, err := Dial(conn)
	check(t, err)
	t.Cleanup(c.Close)
	r, err := c.Attach(0)
	check(t, err)
	return c, dir, r.Node, proc
}

// restrict puts this process under a seccomp filter (seccomp(2)) of the calls
// and those of the Go runtime; any other crashes it.
func restrict(calls []Syscall) error {
	for _, nr := range []uintptr{
		unix.SYS_READ, unix.SYS_WRITE, unix.SYS_CLOSE, unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_MMAP, unix.SYS_MUNMAP,
		unix.SYS_MADVISE, unix.SYS_MPROTECT, unix.SYS_CLONE, unix.SYS_CLONE3, unix.SYS_RT_SIGACTION,
		unix.SYS_RT_SIGPROCMASK, unix.SYS_RT_SIGRETURN, unix.SYS_SIGALTSTACK, unix.SYS_GETTID, unix.SYS_GETPID,
		unix.SYS_TGKILL, unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_SCHED_GETAFFINITY, unix.SYS_PRCTL,
		unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ, unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_CREATE1,
		unix.SYS_EVENTFD2, unix.SYS_CLOCK_GETTIME, unix.SYS_SCHED_YIELD, unix.SYS_RESTART_SYSCALL,
		unix.SYS_PREAD64, // of the cgroup's limit on processors, which sysmon reads again and again
	} {
		calls = append(calls, Syscall{Nr: nr})
	}
	const (
		load  = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
		equal = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
		and   = unix.BPF_ALU | unix.BPF_AND | unix.BPF_K
		ret   = unix.BPF_RET | unix.BPF_K
	)
	var prog []unix.SockFilter
	for _, c := range calls {
		var rule []unix.SockFilter
		rule = append(rule, unix.SockFilter{Code: load, K: 0}, unix.SockFilter{Code: equal, K: uint32(c.Nr)})
		for _, a := range c.Args {
			rule = append(rule, unix.SockFilter{Code: load, K: uint32(16 + 8*a.Arg)},
				unix.SockFilter{Code: and, K: a.Mask}, unix.SockFilter{Code: equal, K: a.Value})
		}
		rule = append(rule, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_ALLOW})
		for i := range rule {
			if rule[i].Code == equal {
				rule[i].Jf = uint8(len(rule) - i - 1)
			}
		}
		prog = append(prog, rule...)
	}
	prog = append(prog, unix.SockFilter{Code: ret, K: unix.SECCOMP_RET_TRAP})
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return installFilter(prog)
}

// TestFiltered runs the tests of the operations against a server in a process
// of its own, which a filter confines to the calls that it says it needs.
func TestFiltered(t *testing.T) {
	inProcess = false
	defer func() { inProcess = true }()
	for name, test := range map[string]func(*testing.T){
		"attach": TestAttach, "walk": TestWalk, "release": TestRelease, "getattr": TestGetattrBatch,
		"readdir": TestReaddir, "open": TestOpen, "types": TestOpenOtherTypes, "create": TestCreate,
		"make": TestMake, "remove": TestRemove, "rename": TestRename, "setattr": TestSetattr,
		"xattr": TestXattr, "sync": TestStatfsSyncFallocate, "connect": TestConnect, "read-only": TestReadOnly,
		"concurrency": TestConcurrency, "symlink race": TestSymlinkRace,
	} {
		t.Run(name, test)
	}
}
