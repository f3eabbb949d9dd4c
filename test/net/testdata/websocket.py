# A client of WebSocket (RFC 6455): websocket.py ADDRESS. It has three messages come back.
import base64
import os
import socket
import sys

s = socket.create_connection((sys.argv[1], 8765), 20)
key = base64.b64encode(os.urandom(16))
s.sendall(b"GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n")
reply = b""
while not reply.endswith(b"\r\n\r\n"):
    reply += s.recv(1)
assert reply.startswith(b"HTTP/1.1 101"), reply
for n in (5, 60, 125):
    data, mask = os.urandom(n), os.urandom(4)
    s.sendall(bytes([0x82, 0x80 | n]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data)))
    assert s.recv(2 + n, socket.MSG_WAITALL) == bytes([0x82, n]) + data
