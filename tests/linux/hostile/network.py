"""Doors of the network: sockets beyond the ordinary, settings, and who can be reached."""

import ctypes
import fcntl
import os
import socket
import struct

from door import CONFIG, LIBC, door

SOCKETS = {
    "raw-icmp": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "raw-ip": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
    "packet": (socket.AF_PACKET, socket.SOCK_RAW, 0x300),
    "vsock": (40, socket.SOCK_STREAM, 0),
    "alg": (38, socket.SOCK_SEQPACKET, 0),
}
OPTIONS = {  # level, name, value
    "mark": (socket.SOL_SOCKET, 36, 1),
    "transparent": (socket.SOL_IP, 19, 1),
    "receive-buffer": (socket.SOL_SOCKET, 33, 1 << 20),
    "repair": (socket.SOL_TCP, 19, 1),
    "priority": (socket.SOL_SOCKET, socket.SO_PRIORITY, 7),
}
REACH = ("host-loopback", "host-address", "host-gateway", "api", "other-dyno", "metadata")
REACH6 = tuple(f"{place}-by-ipv6" for place in REACH)
CAP = 1.0  # seconds: what is shut is mostly a silence


def make(family, kind, protocol):
    socket.socket(family, kind, protocol).close()
    return True


def wide_family(family):
    """The kernel cuts a family to 32 bits: a filter that looks at 64 takes this for another."""
    number = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
    return LIBC.syscall(number, ctypes.c_long((1 << 32) + family), ctypes.c_long(5), ctypes.c_long(0)) >= 0


def option(level, name, value):
    with socket.socket() as one:
        one.setsockopt(level, name, value)
    return True


for one, arguments in SOCKETS.items():
    door(f"socket.{one}", *arguments)(make)
door("socket.alg-wide", 38)(wide_family)
for one, arguments in OPTIONS.items():
    door(f"socket.option.{one}", *arguments)(option)


@door("net.interface-down")
def interface_down():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        name = struct.pack("16sH14x", b"lo", 0x1 | 0x8)  # it is up: set it up
        fcntl.ioctl(one, 0x8914, name)
    return True


@door("net.address")
def address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        value = struct.pack("16sHH4s8x", b"lo:9", socket.AF_INET, 0, socket.inet_aton("127.9.9.9"))
        fcntl.ioctl(one, 0x8916, value)
    return True


def netlink(protocol, kind, flags, body):
    """Ask, and give the errno of the answer (0: done)."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol) as one:
        one.settimeout(CAP)
        one.bind((0, 0))
        one.send(struct.pack("IHHII", 16 + len(body), kind, flags | 1 | 4, 1, 0) + body)
        answer = one.recv(4096)
    return -struct.unpack_from("i", answer, 16)[0] if struct.unpack_from("H", answer, 4)[0] == 2 else 0


@door("net.route")
def route():
    """Add a route to 203.0.113.0/24 by lo."""
    body = struct.pack("8BI", socket.AF_INET, 24, 0, 0, 254, 3, 253, 1, 0)
    body += struct.pack("HH4s", 8, 1, socket.inet_aton("203.0.113.0")) + struct.pack("HHI", 8, 4, 1)
    return netlink(socket.NETLINK_ROUTE, 24, 0x400, body) == 0


@door("net.new-link")
def new_link():
    """A bridge of one's own."""
    kind = struct.pack("HH8s", 11, 1, b"bridge\0\0")
    body = struct.pack("BxHiII", 0, 0, 0, 0, 0) + struct.pack("HH", 4 + len(kind), 18) + kind
    return netlink(socket.NETLINK_ROUTE, 16, 0x600, body) == 0


@door("net.firewall")
def firewall():
    """List nftables' tables."""
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as one:
        one.settimeout(CAP)
        one.bind((0, 0))
        one.send(struct.pack("IHHIIBBH", 20, 10 << 8 | 1, 0x301, 1, 0, 0, 0, 0))
        return struct.unpack_from("H", one.recv(4096), 4)[0] != 2  # no error


@door("net.audit")
def audit():
    return netlink(9, 1000, 0, b"") == 0  # AUDIT_GET


@door("net.settings")
def settings():
    """Even the settings of one's own network are not one's own."""
    with open("/proc/sys/net/ipv4/conf/all/rp_filter", "w"):
        return True


def reach(place):
    """Connect to what the test made listen there."""
    host, port = CONFIG["reach"][place]
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
        one.settimeout(CAP)
        one.connect((host, port))
    return True


for one in (*REACH, *REACH6):
    door(f"reach.{one}", one)(reach)


@door("reach.host-datagram")
def datagram():
    """A datagram to the host's echo."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(CAP)
        one.sendto(b"door", tuple(CONFIG["reach"]["echo"]))
        return one.recv(16) == b"door"


@door("reach.host-datagram-by-ipv6")
def datagram6():
    """To the host, unasked and in one packet: it is heard there, or not."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one:
        one.settimeout(CAP)
        one.sendto(b"door", tuple(CONFIG["reach"]["echo-by-ipv6"]))
        return one.recv(16) == b"door"


@door("net.link-local")
def link_local():
    """An address that nobody gave us, with which one could speak to the other end of the cable."""
    with open("/proc/self/net/if_inet6") as file:
        return any(line.startswith("fe80") and line.split()[5] != "lo" for line in file)


@door("reach.abstract")
def abstract():
    """A unix socket of the host's, by its abstract name."""
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + CONFIG["abstract"])
    return True


def unix(place):
    """One of RUN's sockets."""
    kind = socket.SOCK_SEQPACKET if place == "host.sock" else socket.SOCK_STREAM
    with socket.socket(socket.AF_UNIX, kind) as one:
        one.connect(f"{CONFIG['paths']['run']}/{place}")
    return True


for one in ("host.sock",):
    door(f"reach.{one}", one)(unix)
