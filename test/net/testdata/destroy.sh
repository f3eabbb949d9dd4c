# What becomes of sockets that an administrator ends, ss -K (sock_diag(7), SOCK_DESTROY).
exec 2>&1
ip link set lo up
exec python3 -u - <<'P'
import errno, os, select, socket, subprocess, time

socket.setdefaulttimeout(20)
V4, V6, DATAGRAM = socket.AF_INET, socket.AF_INET6, socket.SOCK_DGRAM

def listed(*args):
    r = subprocess.run(["ss", "-Hn", *args], capture_output=True, text=True)
    # How much memory datagrams take is the kernel's own affair.
    return [" ".join(w for k, w in enumerate(line.split()) if k not in (1, 2)) for line in r.stdout.splitlines()], r.stderr.strip()

def ss(*args):
    lines, error = listed(*args)
    print("> ss", *args)
    print(*sorted(lines), error, sep="\n")

def told(what, call):
    try:
        print(what, call())
    except OSError as e:
        print(what, errno.errorcode.get(e.errno, e))

def listener(port, family=V4, address="127.0.0.1"):
    l = socket.socket(family)
    l.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    l.bind((address, port))
    l.listen(5)
    return l

def pair(port, family=V4, address="127.0.0.1"):
    l = listener(port, family, address)
    c = socket.socket(family)
    c.bind((address, port + 1))
    c.connect((address, port))
    s, _ = l.accept()
    return l, c, s

def until(state, *args):
    end = time.time() + 20
    while not any(line.startswith(state) for line in listed("-tan", *args)[0]):
        if time.time() > end:
            print("never", state, *args)
            return
        time.sleep(0.02)

print("== a connection")
l, c, s = pair(5000)
p = select.poll()
p.register(c, select.POLLIN | select.POLLOUT)
ss("-tK", "dst", "127.0.0.1:5000", "and", "sport", "=", "5001")
print([hex(e) for _, e in p.poll(9000)])
told("recv", lambda: c.recv(1)); told("recv", lambda: c.recv(1)); told("send", lambda: c.send(b"x"))
told("peer", c.getpeername); told("name", c.getsockname)
told("other end", lambda: s.recv(1)); told("other end", lambda: s.recv(1))
ss("-tan")
l, c, s = pair(5100)
s.send(b"hello")
select.select([c], [], [], 9)
ss("-tK", "sport", "=", "5101")
told("what had come", lambda: c.recv(9)); told("and then", lambda: c.recv(9))
told("other end", lambda: s.send(b"x")); told("other end", lambda: s.send(b"x"))
l6, c, s = pair(5200, V6, "::1")
ss("-6tK", "state", "established", "sport", "=", "5200")
told("other end", lambda: c.recv(1)); told("end", lambda: s.recv(1)); ss("-tan", "sport", "=", "5200")

print("== a listener")
ss("-tlK", "sport", "=", "5100")
told("accept", l.accept); print(errno.errorcode[l.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)])
told("accept", l.accept); told("listen", l.listen); told("name", l.getsockname); ss("-tan", "sport", "=", "5100")
l = listener(5500)
c = socket.create_connection(("127.0.0.1", 5500), 9, ("127.0.0.1", 5501))
until("ESTAB", "sport", "=", "5500")
ss("-tanK", "state", "established", "sport", "=", "5500")
told("other end", lambda: c.recv(1)); l.setblocking(False); told("accept", lambda: l.accept()[1])
c = socket.create_connection(("127.0.0.1", 5500), 9, ("127.0.0.1", 5502))
until("ESTAB", "sport", "=", "5500")
ss("-tanK", "state", "listening", "sport", "=", "5500")
told("other end", lambda: c.recv(1)); told("connect", lambda: socket.create_connection(("127.0.0.1", 5500)))

print("== closed")
l, c, s = pair(5300)
c.close(); until("FIN-WAIT-2", "sport", "=", "5301")
ss("-taK", "sport", "=", "5301"); told("other end", lambda: s.recv(1)); told("other end", lambda: s.send(b"x")); until("LISTEN"); told("other end", lambda: s.send(b"x"))
l, c, s = pair(5400)
c.close(); s.close(); until("TIME-WAIT", "sport", "=", "5401")
ss("-taK", "sport", "=", "5401"); ss("-tan", "sport", "=", "5401")

print("== datagrams")
u = socket.socket(V4, DATAGRAM); u.bind(("127.0.0.1", 6000)); u.setblocking(False)
v = socket.socket(V4, DATAGRAM); v.connect(("127.0.0.1", 6000)); v.send(b"x")
ss("-uanK", "sport", "=", "6000")
for _ in range(3):
    told("recv", lambda: u.recv(9))
told("send", lambda: u.send(b"x")); told("name", u.getsockname); ss("-uan", "sport", "=", "6000")
print(len(listed("-uanK", "dst", "127.0.0.1:6000")[0]))
told("send", lambda: v.send(b"x")); told("peer", v.getpeername); told("address", lambda: v.getsockname()[0]); v.setblocking(False); told("recv", lambda: v.recv(2)); told("recv", lambda: v.recv(2))

print("== not so")
a, b = socket.socketpair()
listed("-xK"); told("send", lambda: a.send(b"x"))
l, c, s = pair(5600)
os.setuid(65534)
ss("-tK", "sport", "=", "5601"); told("send", lambda: c.send(b"x"))
P
