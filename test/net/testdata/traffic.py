# Servers at ports 8080 (TCP) and 8053 (UDP), and a client for each line of the standard input:
# "tcp ADDRESS PORT", "udp ADDRESS PORT", or "sh COMMAND".
import errno
import os
import socket
import struct
import sys
import threading


def original(c, family):
    """Where the peer meant a connection to go (SO_ORIGINAL_DST)."""
    try:
        if family == socket.AF_INET:
            o = c.getsockopt(socket.SOL_IP, 80, 16)
            a = o[4:8]
        else:
            o = c.getsockopt(socket.IPPROTO_IPV6, 80, 28)
            a = o[8:24]
        return "%s:%d" % (socket.inet_ntop(family, a), struct.unpack(">H", o[2:4])[0])
    except OSError as e:
        return errno.errorcode[e.errno]


def serve_tcp(family, addr, port):
    s = socket.socket(family)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind((addr, port))
    s.listen(5)
    while True:
        c, _ = s.accept()
        try:
            c.sendall(("for %s at %s" % (original(c, family), c.getsockname()[:2])).encode())
        except OSError:
            pass  # the client has been refused meanwhile
        c.close()


def serve_udp(addr, port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.bind((addr, port))
    while True:
        d, a = s.recvfrom(2000)
        try:
            s.sendto(b"echo " + d, a)
        except OSError:
            pass


def tcp(addr, port, family):
    s = socket.socket(family)
    s.settimeout(2)
    s.connect((addr, port))
    d = b""
    while x := s.recv(100):
        d += x
    return d.decode() + " peer %s" % (s.getpeername()[:2],)


def udp(addr, port, family):
    s = socket.socket(family, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((addr, port))
    s.send(b"hi")
    d, a = s.recvfrom(2000)
    return "%s from %s" % (d.decode(), a[:2])


servers = [(serve_tcp, socket.AF_INET, "0.0.0.0", 8080), (serve_tcp, socket.AF_INET6, "::1", 8080), (serve_udp, "0.0.0.0", 8053)]
for f, *args in servers:
    threading.Thread(target=f, args=args, daemon=True).start()
for line in sys.stdin:
    kind, _, rest = line.strip().partition(" ")
    print("+", line.strip(), flush=True)
    if kind == "sh":
        os.system("exec 2>&1; " + rest)
    elif kind in ("tcp", "udp"):
        addr, port = rest.split()
        try:
            print({"tcp": tcp, "udp": udp}[kind](addr, int(port), socket.AF_INET6 if ":" in addr else socket.AF_INET))
        except TimeoutError:
            print("timeout")
        except OSError as e:
            print(errno.errorcode[e.errno])
    sys.stdout.flush()
