# A name server for one name at port 5353, by UDP and TCP, and an echo server of WebSocket
# (RFC 6455) at port 8765.
import base64
import hashlib
import socket
import struct
import threading


def answer(q):
    """The answer to a question of DNS: the name is at 192.0.2.7."""
    end = q.index(b"\0", 12) + 5
    return q[:2] + b"\x85\x80\0\1\0\1\0\0\0\0" + q[12:end] + b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + socket.inet_aton("192.0.2.7")


def dns_udp():
    s = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    s.bind(("::", 5353))
    while True:
        q, a = s.recvfrom(2000)
        s.sendto(answer(q), a)


def dns_tcp(c):
    size = c.recv(2, socket.MSG_WAITALL)
    if len(size) < 2:
        return
    n = struct.unpack(">H", size)[0]
    r = answer(c.recv(n, socket.MSG_WAITALL))
    c.sendall(struct.pack(">H", len(r)) + r)


def websocket(c):
    request = b""
    while not request.endswith(b"\r\n\r\n"):
        more = c.recv(1000)
        if not more:
            return  # who only looks whether somebody listens
        request += more
    key = [l for l in request.split(b"\r\n") if l.lower().startswith(b"sec-websocket-key:")][0].split(b":")[1].strip()
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    c.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while True:
        head = c.recv(2, socket.MSG_WAITALL)
        if len(head) < 2 or head[0] & 15 == 8:
            return
        n = head[1] & 127
        mask = c.recv(4, socket.MSG_WAITALL)
        data = bytes(b ^ mask[i % 4] for i, b in enumerate(c.recv(n, socket.MSG_WAITALL)))
        c.sendall(bytes([head[0], n]) + data)


def listen(port, serve):
    s = socket.socket(socket.AF_INET6)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("::", port))
    s.listen(50)
    while True:
        c, _ = s.accept()

        def run(c=c):
            try:
                serve(c)
            finally:
                c.close()

        threading.Thread(target=run, daemon=True).start()


threading.Thread(target=dns_udp, daemon=True).start()
threading.Thread(target=listen, args=(5353, dns_tcp), daemon=True).start()
listen(8765, websocket)
