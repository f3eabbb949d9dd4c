package ptrace

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const sentryEnv = "PTRACE_TEST_SENTRY"

// TestSentryKilled kills a sentry whose application runs; the stubs must go too.
func TestSentryKilled(t *testing.T) {
	if os.Getenv(sentryEnv) != "" {
		p := open(t)
		v := newVictim(t, p, loop...).start()
		fmt.Printf("stub %d\n", v.as.pid)
		select {}
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestSentryKilled$")
	cmd.Env = append(os.Environ(), sentryEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	pid := 0
	for lines := bufio.NewScanner(out); pid == 0 && lines.Scan(); {
		if s, ok := strings.CutPrefix(lines.Text(), "stub "); ok {
			pid, _ = strconv.Atoi(s)
		}
	}
	if pid == 0 {
		t.Fatal("the sentry does not start")
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	cmd.Process.Kill()
	err = unix.EINTR
	n := 0
	for err == unix.EINTR {
		n, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(20*time.Second/time.Millisecond))
	}
	if n != 1 || err != nil {
		t.Errorf("stub %d is still there: %v", pid, err)
	}
}
