#!/usr/bin/python3
"""An interactive bash on a pseudo-terminal: job control from the keyboard, window size, hang-up."""
import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios

pid, fd = pty.fork()
if pid == 0:
    os.environ.update(PS1="ready> ", TERM="dumb", HISTFILE="")
    os.execv("/bin/bash", ["bash", "--norc", "--noprofile", "--noediting", "-i"])
text = ""


def until(pattern):
    """Reads from the terminal until pattern matches, and returns what came before and with it."""
    global text
    while not (m := re.search(pattern, text)):
        if not select.select([fd], [], [], 30)[0]:
            sys.exit(f"no {pattern!r} in {text!r}")
        text += os.read(fd, 4096).decode()
    got, text = text[: m.end()], text[m.end():]
    return got


def say(line):
    os.write(fd, line.encode() + b"\n")
    until(re.escape(line) + r"\r\n")
    return until("ready> ")[: -len("ready> ")]


until("ready> ")
print(repr(say("echo $((6*7))")))
print(repr(say("tty | sed 's,[0-9],N,'")))
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
print(repr(say("stty size")))
print(repr(say("set -o | grep monitor | tr -s ' \\t' ' '")))
os.write(fd, b"cat\n")
until("cat\r\n")
os.write(fd, b"typed\n")
print(repr(until("typed\r\ntyped\r\n")))
os.write(fd, b"\x1a")
print(repr(re.sub(" +", " ", until("ready> "))))
print(repr(re.sub(" +", " ", say("jobs"))))
os.write(fd, b"fg\n")
until("fg\r\ncat\r\n")
os.write(fd, b"again\n")
until("again\r\nagain\r\n")
os.write(fd, b"\x04")
until("ready> ")
print(repr(say("echo status $?")))
os.write(fd, b"sh -c 'echo started; exec sleep 1000'\n")
until("started\r\n")
os.write(fd, b"\x03")
until("ready> ")
print(repr(say("echo status $?")))
print(repr(say("sleep 500 | sleep 501 &").split()[0]))
print(repr(say("test $(ps -o tpgid= -p $$) = $$ && echo foreground")))
print(repr(say("kill %1; wait 2>/dev/null; stty -a | grep -o 'intr = ^C'")))
os.write(fd, b"exit 6\n")
_, status = os.waitpid(pid, 0)
print("exit", os.waitstatus_to_exitcode(status))
os.close(fd)

pid, fd = pty.fork()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", "trap 'exit 3' HUP; echo started; while :; do sleep 0.1; done"])
text = ""
until("started\r\n")
os.close(fd)
_, status = os.waitpid(pid, 0)
print("hang-up", os.waitstatus_to_exitcode(status))
