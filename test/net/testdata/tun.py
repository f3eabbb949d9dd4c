"""What a program does with /dev/net/tun: TUN and TAP, with and without struct tun_pi, with virtio-net headers."""
import array, fcntl, os, select, socket, struct, subprocess

TUNSETIFF, TUNGETIFF, TUNGETFEATURES, TUNSETPERSIST, TUNSETVNETHDRSZ = 0x400454ca, 0x800454d2, 0x800454cf, 0x400454cb, 0x400454d8
IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_TUN_EXCL = 1, 2, 0x1000, 0x4000, 0x8000

if not os.path.exists("/dev/net/tun"):
    os.makedirs("/dev/net", exist_ok=True)
    os.mknod("/dev/net/tun", 0o600 | 0o020000, os.makedev(10, 200))

def run(*command):
    # There are no queueing disciplines inside.
    return subprocess.run(command, capture_output=True, text=True).stdout.replace("pfifo_fast", "noqueue")

def opened(name, flags):
    fd = os.open("/dev/net/tun", os.O_RDWR)
    r = bytearray(struct.pack("16sH22x", name, flags))
    fcntl.ioctl(fd, TUNSETIFF, r)
    return fd, r[:16].rstrip(b"\0").decode()

def failure(f, *args):
    try:
        f(*args)
        return "done"
    except OSError as e:
        return os.strerror(e.errno)

def total(b):
    s = sum(struct.unpack("!%dH" % (len(b) // 2), b))
    s = (s & 0xffff) + (s >> 16)
    return ~(s + (s >> 16)) & 0xffff

def ipv4(src, dst, proto, payload):
    h = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(payload), 1, 0, 64, proto, 0, socket.inet_aton(src), socket.inet_aton(dst))
    return h[:10] + struct.pack("!H", total(h)) + h[12:] + payload

def echo(src, dst):
    body = struct.pack("!BBHHH", 8, 0, 0, 7, 1) + b"abcdefgh"
    return ipv4(src, dst, 1, body[:2] + struct.pack("!H", total(body)) + body[4:])

def received(fd, skip=0):
    "The first IPv4 packet of ICMP that comes."
    while True:
        if not select.select([fd], [], [], 20)[0]:
            return "nothing"
        b = os.read(fd, 65600)
        p = b[skip:]
        if len(p) > 20 and p[0] == 0x45 and p[9] == 1:
            return b[:skip].hex(), "type", p[20], socket.inet_ntoa(p[12:16]), socket.inet_ntoa(p[16:20]), len(p), p[28:].decode()

def up(name, address):
    run("sysctl", "-q", "-w", "net.ipv6.conf.%s.disable_ipv6=1" % name)
    run("ip", "address", "add", address, "dev", name)
    run("ip", "link", "set", name, "up")

print("== TUN")
fd, name = opened(b"", IFF_TUN | IFF_NO_PI)
print(name, run("ip", "-o", "link", "show", name).split("link/")[0])
print(failure(os.write, os.open("/dev/net/tun", os.O_RDWR), b"x"), failure(opened, b"tun0", IFF_TUN), failure(opened, b"tun0", IFF_TAP), failure(opened, b"lo", IFF_TUN), failure(opened, b"x", 0))
up(name, "10.8.0.1/24")
print(run("ip", "-br", "link", "show", name).split()[1:])
os.write(fd, echo("10.8.0.2", "10.8.0.1"))
print(received(fd))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.8.0.1", 5000))
u = struct.pack("!HHHH", 6000, 5000, 13, 0) + b"hello"
os.write(fd, ipv4("10.8.0.2", "10.8.0.1", 17, u))
print(s.recvfrom(100))
s.sendto(b"answer", ("10.8.0.2", 6000))
print(os.read(fd, 100)[20:24].hex(), failure(os.write, fd, b""), failure(os.write, fd, b"\0" * 30))
os.close(fd)
print(repr(run("ip", "-br", "link", "show", name)))

print("== TUN with struct tun_pi")
fd, name = opened(b"my%d", IFF_TUN)
up(name, "10.8.0.1/24")
os.write(fd, b"\0\0\x08\0" + echo("10.8.0.2", "10.8.0.1"))
print(name, received(fd, 4))
print(failure(os.write, fd, b"\0\0"))
os.close(fd)

print("== TUN with a virtio-net header")
fd, name = opened(b"", IFF_TUN | IFF_NO_PI | IFF_VNET_HDR)
up(name, "10.8.0.1/24")
os.write(fd, bytes(10) + echo("10.8.0.2", "10.8.0.1"))
print(received(fd, 10))
fcntl.ioctl(fd, TUNSETVNETHDRSZ, struct.pack("i", 12))
os.write(fd, bytes(12) + echo("10.8.0.2", "10.8.0.1"))
print(received(fd, 12))
print(failure(fcntl.ioctl, fd, TUNSETVNETHDRSZ, struct.pack("i", 4)))
# A datagram whose checksum the other side is to complete.
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(("10.8.0.1", 5001))
pseudo = socket.inet_aton("10.8.0.2") + socket.inet_aton("10.8.0.1") + struct.pack("!HH", 17, 13)
u = struct.pack("!HHHH", 6000, 5001, 13, ~total(pseudo) & 0xffff) + b"hello"
os.write(fd, struct.pack("<BBHHHHH", 1, 0, 0, 0, 20, 6, 0) + ipv4("10.8.0.2", "10.8.0.1", 17, u))
print(s.recvfrom(100))
os.close(fd)

print("== TAP, kept")
fd, name = opened(b"tap7", IFF_TAP | IFF_NO_PI)
fcntl.ioctl(fd, TUNSETPERSIST, 1)
up(name, "10.8.0.1/24")
run("ip", "link", "set", name, "address", "02:00:00:00:00:01")
run("ip", "neigh", "add", "10.8.0.2", "lladdr", "02:00:00:00:00:02", "dev", name)
frame = bytes.fromhex("020000000001" "020000000002" "0800")
os.write(fd, frame + echo("10.8.0.2", "10.8.0.1"))
print(received(fd, 14))
print(run("ip", "-o", "-d", "link", "show", name).split("link/")[0])
arp = bytes.fromhex("ffffffffffff" "020000000003" "0806" "0001" "0800" "06" "04" "0001" "020000000003") + socket.inet_aton("10.8.0.3") + bytes(6) + socket.inet_aton("10.8.0.1")
os.write(fd, arp)
while True:
    b = os.read(fd, 2000)
    if b[12:14] == b"\x08\x06" and b[20:22] == b"\0\2":
        break
print(b.hex())
os.close(fd)
print(run("ip", "-br", "link", "show", name).split())
print(failure(opened, b"tap7", IFF_TUN), failure(opened, b"tap7", IFF_TAP | IFF_TUN_EXCL))
fd, name = opened(b"tap7", IFF_TAP | IFF_NO_PI)
print(failure(opened, b"tap7", IFF_TAP | IFF_NO_PI))
fcntl.ioctl(fd, TUNSETPERSIST, 0)
os.close(fd)
print(repr(run("ip", "-br", "link", "show", name)))

print("== by iproute2, and in another namespace")
run("ip", "tuntap", "add", "dev", "t0", "mode", "tun")
print(run("ip", "-br", "link", "show", "t0").split())
fd, name = opened(b"t0", IFF_TUN | IFF_NO_PI)
child = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo; read x"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
run("ip", "link", "set", "t0", "netns", str(child.pid))
inside = ["nsenter", "-t", str(child.pid), "-n"]
run(*inside, "ip", "address", "add", "10.8.0.1/24", "dev", "t0")
run(*inside, "ip", "link", "set", "t0", "up")
os.write(fd, echo("10.8.0.2", "10.8.0.1"))
print(received(fd), repr(run("ip", "-br", "link", "show", "t0")))
os.close(fd)
child.communicate(b"\n")
