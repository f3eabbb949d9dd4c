#!/usr/bin/python3
"""A TCP echo server and its clients in several processes, with blocking sockets and with selectors."""
import os
import selectors
import socket
import socketserver
import struct
import threading

server = socket.create_server(("127.0.0.1", 0), backlog=64)
address = server.getsockname()
pid = os.fork()
if pid == 0:
    sel = selectors.DefaultSelector()
    server.setblocking(False)
    sel.register(server, selectors.EVENT_READ, None)
    pending, live = {}, True
    while live:
        for key, mask in sel.select():
            if key.fileobj is server:
                c, _ = server.accept()
                c.setblocking(False)
                pending[c] = b""
                sel.register(c, selectors.EVENT_READ)
                continue
            c = key.fileobj
            if mask & selectors.EVENT_READ:
                data = c.recv(65536)
                if not data:
                    sel.unregister(c)
                    c.close()
                    continue
                if data == b"QUIT":
                    live = False
                pending[c] += data
            if pending[c]:
                try:
                    pending[c] = pending[c][c.send(pending[c]):]
                except BlockingIOError:
                    pass
            sel.modify(c, selectors.EVENT_READ | (selectors.EVENT_WRITE if pending[c] else 0))
    os._exit(0)
server.close()


def client(n, results):
    with socket.create_connection(address) as s:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for i in range(n):
            message = struct.pack("!I", i) * (i % 50 + 1)
            s.sendall(message)
            got = b""
            while len(got) < len(message):
                got += s.recv(4096)
            assert got == message
        s.shutdown(socket.SHUT_WR)
        assert s.recv(1) == b""
    results.append(n)


results = []
ts = [threading.Thread(target=client, args=(40, results)) for _ in range(10)]
[t.start() for t in ts]
[t.join() for t in ts]
print("clients", results)

with socket.create_connection(address) as s:
    data = os.urandom(4 << 20)
    t = threading.Thread(target=s.sendall, args=(data,))
    t.start()
    got = bytearray()
    while len(got) < len(data):
        got += s.recv(1 << 16)
    t.join()
    print("bulk", bytes(got) == data)
with socket.create_connection(address) as s:
    s.sendall(b"QUIT")
os.waitpid(pid, 0)
try:
    socket.create_connection(address)
except ConnectionRefusedError:
    print("refused")


class Handler(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line[::-1])


with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as srv:
    threading.Thread(target=srv.serve_forever, daemon=True).start()
    with socket.create_connection(srv.server_address) as s:
        f = s.makefile("rw")
        f.write("abc\n")
        f.flush()
        s.shutdown(socket.SHUT_WR)
        print("socketserver", repr(f.read()))
    srv.shutdown()
s = socket.socket()
s.settimeout(0.05)
listener = socket.create_server(("127.0.0.1", 0))
s.connect(listener.getsockname())
try:
    s.recv(1)
except TimeoutError:
    print("timeout")
print("peer", s.getpeername() == listener.getsockname(), listener.accept()[1] == s.getsockname())
u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
u.bind(("127.0.0.1", 0))
u.sendto(b"datagram", u.getsockname())
print(u.recvfrom(100)[0])
a, b = socket.socketpair()
r, w = os.pipe()
socket.send_fds(a, [b"fd"], [w])
message, fds, _, _ = socket.recv_fds(b, 10, 4)
os.write(fds[0], b"through a passed descriptor")
print(message, os.read(r, 100))
print(socket.getaddrinfo("127.0.0.1", 80, type=socket.SOCK_STREAM)[0][4])
