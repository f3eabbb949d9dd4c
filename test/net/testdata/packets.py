# What packet sockets see and send of tagged frames: packets.py BELOW VLAN PEER PEERVLAN, the last two in the namespace A.
import ctypes, os, socket, struct, sys

below, vlan, peer, peer_vlan = sys.argv[1:]
libc = ctypes.CDLL(None, use_errno=True)
SOL_PACKET, PACKET_AUXDATA, ETH_P_ALL, ETH_P_8021Q, ETH_P_TEST = 263, 8, 3, 0x8100, 0x88b5


def enter(path):
    fd = os.open(path, os.O_RDONLY)
    assert libc.setns(fd, 0x40000000) == 0
    os.close(fd)


def packet_socket(device, protocol, kind=socket.SOCK_RAW):
    s = socket.socket(socket.AF_PACKET, kind, socket.htons(protocol))
    s.bind((device, protocol))
    s.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    s.settimeout(20)
    return s


def show(name, s):
    """All frames of the test that a socket has, until the last."""
    while True:
        data, control, _, address = s.recvmsg(4096, 4096)
        if b"the end" in data:
            return
        if b"hello" not in data:
            continue
        aux = next(c for level, kind, c in control if kind == PACKET_AUXDATA)
        status, length, caplen, mac, net, tci, tpid = struct.unpack("IIIHHHH", aux)
        # Offsets count from where the frame was, which is not everywhere the same.
        print(name, "protocol %#x" % address[1], "type", address[2], "status %#x" % (status & 0x51), length, caplen, "tci %#x tpid %#x" % (tci, tpid), data[:22].hex())


home = os.open("/proc/self/ns/net", os.O_RDONLY)
enter("/run/netns/A")
far = {
    "below, all": packet_socket(peer, ETH_P_ALL),
    "below, of the data": packet_socket(peer, ETH_P_TEST),
    "below, cooked": packet_socket(peer, ETH_P_ALL, socket.SOCK_DGRAM),
    "vlan, all": packet_socket(peer_vlan, ETH_P_ALL),
    "vlan, of the data": packet_socket(peer_vlan, ETH_P_TEST),
}
of_tag = packet_socket(peer, ETH_P_8021Q)
libc.setns(home, 0x40000000)
near = packet_socket(below, ETH_P_ALL), packet_socket(vlan, ETH_P_ALL)

broadcast, station = b"\xff" * 6, bytes.fromhex("020000000077")


def tag(tci, tpid=0x8100):
    return struct.pack("!HH", tpid, tci)


data = struct.pack("!H", ETH_P_TEST) + b"hello" + bytes(41)
for text, device, frame in [
    ("untagged", below, broadcast + station + data),
    ("by the VLAN", vlan, broadcast + station + data),
    ("tagged by hand", below, broadcast + station + tag(5) + data),
    ("with a priority", below, broadcast + station + tag(0xa005) + data),
    ("with a priority alone", below, broadcast + station + tag(0xa000) + data),
    ("of another VLAN", below, broadcast + station + tag(99) + data),
    ("of a provider", below, broadcast + station + tag(5, 0x88A8) + data),
    ("tagged twice", below, broadcast + station + tag(5) + tag(6) + data),
    ("cut off", below, broadcast + station + tag(5)),
]:
    print("--", text)
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0))
    try:
        s.send(frame)
    except OSError as e:
        print(e)
    last = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    last.bind((vlan, 0))
    last.send(broadcast + station + struct.pack("!H", ETH_P_TEST) + b"the end" + bytes(39))
    for s in near:
        show(s.getsockname()[0] + ", here", s)
    for name, s in far.items():
        # A socket of a protocol gets frames that VLANs have let pass, with the tags gone that Linux has
        # looked at; of two, here only the first.
        if " of the data" in name and text == "tagged twice":
            while b"the end" not in s.recv(4096):
                pass
        else:
            show(name, s)
of_tag.setblocking(False)
try:
    print(of_tag.recv(4096))
except BlockingIOError:
    print("nobody sees a frame as one of the tag's protocol")
