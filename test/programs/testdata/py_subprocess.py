#!/usr/bin/python3
"""subprocess: pipes, time-outs, groups, many children."""
import os
import signal
import subprocess
import sys
import tempfile

os.chdir(tempfile.mkdtemp())
print(subprocess.check_output(["echo", "hello"], text=True), end="")
p = subprocess.run(["sh", "-c", "cat; echo error >&2; exit 5"], input="in\n", capture_output=True, text=True)
print(p.returncode, repr(p.stdout), repr(p.stderr))
big = subprocess.run(["cat"], input=b"z" * 3_000_000, capture_output=True).stdout
print(len(big), big == b"z" * 3_000_000)
try:
    subprocess.run(["sleep", "100"], timeout=0.2)
except subprocess.TimeoutExpired as e:
    print("timeout", e.cmd)
a = subprocess.Popen(["seq", "1", "20000"], stdout=subprocess.PIPE)
b = subprocess.Popen(["grep", "99"], stdin=a.stdout, stdout=subprocess.PIPE)
a.stdout.close()
c = subprocess.Popen(["wc", "-l"], stdin=b.stdout, stdout=subprocess.PIPE, text=True)
b.stdout.close()
print("pipeline", c.communicate()[0].strip(), a.wait(), b.wait())
children = [subprocess.Popen([sys.executable, "-Sc", f"import sys; sys.exit({i})"]) for i in range(12)]
print("exits", sum(c.wait() for c in children))
p = subprocess.Popen(["sh", "-c", "sleep 100 & sleep 100 & wait"], start_new_session=True)
print("own session", os.getsid(p.pid) == p.pid)
os.killpg(p.pid, signal.SIGKILL)
print("killed", p.wait())
p = subprocess.Popen(["sleep", "100"])
p.send_signal(signal.SIGSTOP)
_, status = os.waitpid(p.pid, os.WUNTRACED)
print("stopped", os.WIFSTOPPED(status), os.WSTOPSIG(status) == signal.SIGSTOP)
p.send_signal(signal.SIGCONT)
_, status = os.waitpid(p.pid, os.WCONTINUED)
print("continued", os.WIFCONTINUED(status))
p.terminate()
print("terminated", p.wait())
try:
    subprocess.run(["/nonexistent"])
except FileNotFoundError as e:
    print("not found", e.errno)
r, w = os.pipe()
p = subprocess.Popen(["sh", "-c", f"echo inherited >&{w}"], pass_fds=[w])
p.wait()
print(os.read(r, 100))
print(subprocess.run(["pwd"], cwd="/usr", capture_output=True, text=True).stdout.strip())
print(subprocess.run(["env"], env={"ONLY": "this"}, capture_output=True, text=True).stdout.strip())
print(subprocess.run(["id", "-u"], user=1000, group=1000, extra_groups=[], capture_output=True, text=True).stdout.strip())
pid = os.fork()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", "exit 9"])
print("fork and exec", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 8"], os.environ)
print("posix_spawn", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
pidfd = os.pidfd_open((p := subprocess.Popen(["sleep", "100"])).pid)
signal.pidfd_send_signal(pidfd, signal.SIGTERM)
print("pidfd", os.waitid(os.P_PIDFD, pidfd, os.WEXITED).si_status)
