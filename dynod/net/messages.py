"""Messages to the kernel's rtnetlink as bytes, pure: all that the network helper ever tells it, and what the kernel answers.

pyroute2 is for looking at the machine (survey.py). For what is said eight times per dyno it is too much: it takes 4 ms to put these
messages into bytes, which is more than the kernel takes to do them. Here they are put together whole and sent many at a time.
Numbers and layouts: rtnetlink(7), linux/rtnetlink.h, linux/if_link.h, linux/neighbour.h.
"""

import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

_HEAD = struct.Struct("=IHHII")  # length, type, flags, sequence, port
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_NEIGHBOUR = struct.Struct("=BxxxiHBB")  # family, index, state, flags, type
_ROUTE = struct.Struct("=BBBBBBBBI")  # family, to, from, tos, table, protocol, scope, type, flags
_NEWLINK, _NEWADDR, _NEWROUTE, _NEWNEIGH, _ERROR = 16, 20, 24, 28, 2
_DELLINK, _DELROUTE = 17, 25
_REQUEST, _ACK, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x100, 0x200, 0x400
_NEW = _REQUEST | _ACK | _EXCL | _CREATE
_FAMILIES, _UP, _NESTED = {4: 2, 6: 10}, 0x1, 0x8000
_NODAD = 0x02  # IFA_F_NODAD: nobody else is at the cable, and an address that is tentative cannot be used
_NO_ROUTE = 0x200  # IFA_F_NOPREFIXROUTE
_PERMANENT = 0x80  # NUD_PERMANENT
_MAIN, _LOCAL, _BOOT, _UNIVERSE, _UNICAST, _UNREACHABLE = 254, 255, 3, 0, 1, 7
_GROUPS = IPv6Address("ff00::").packed
PROTOCOL = 221  # marks our reservations among others' routes (rtnetlink(7), rtm_protocol: above 191 nobody's)

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _number(kind: int, value: int) -> bytes:
    return _attribute(kind, struct.pack("=I", value))


def _message(kind: int, flags: int, body: bytes) -> bytes:
    return _HEAD.pack(_HEAD.size + len(body), kind, flags, 0, 0) + body


def _mac(text: str) -> bytes:
    return bytes.fromhex(text.replace(":", ""))


def cable(name: str, mac: str, group: int, mtu: int, inside: str, inside_mac: str, namespace: int) -> bytes:
    """Make a veth whose other end, `inside`, is in the namespace (a descriptor)."""
    peer = _LINK.pack(0, 0, 0, 0, 0) + _text(3, inside) + _attribute(1, _mac(inside_mac)) + _number(4, mtu)
    peer += _number(28, namespace)
    kind = _text(1, "veth") + _attribute(2 | _NESTED, _attribute(1 | _NESTED, peer))
    about = _text(3, name) + _attribute(1, _mac(mac)) + _number(4, mtu) + _number(27, group)
    return _message(_NEWLINK, _NEW, _LINK.pack(0, 0, 0, 0, 0) + about + _attribute(18 | _NESTED, kind))


def up(index: int) -> bytes:
    """Let an interface work."""
    return _message(_NEWLINK, _REQUEST | _ACK, _LINK.pack(0, 0, index, _UP, _UP))


def into_group(index: int, group: int) -> bytes:
    """Put an interface into another link group."""
    return _message(_NEWLINK, _REQUEST | _ACK, _LINK.pack(0, 0, index, 0, 0) + _number(27, group))


def address(index: int, own: Address, prefix: int) -> bytes:
    """Give an interface an address."""
    packed = _attribute(2, own.packed) + _attribute(1, own.packed)
    flags = _NODAD if own.version == 6 else 0
    return _message(_NEWADDR, _NEW, _ADDRESS.pack(_FAMILIES[own.version], prefix, flags, 0, index) + packed)


def address_alone(index: int, own: IPv6Address) -> bytes:
    """Give an interface an address, and the kernel no reason to think of a network around it: that would be two routes more."""
    flags = _number(8, _NODAD | _NO_ROUTE)
    packed = _attribute(2, own.packed) + _attribute(1, own.packed)
    body = _ADDRESS.pack(_FAMILIES[6], own.max_prefixlen, _NODAD, 0, index)
    return _message(_NEWADDR, _NEW, body + packed + flags)


def neighbour(index: int, other: Address, mac: str) -> bytes:
    """Say for good where a neighbour is."""
    body = _NEIGHBOUR.pack(_FAMILIES[other.version], index, _PERMANENT, 0, 0) + _attribute(1, other.packed)
    return _message(_NEWNEIGH, _NEW, body + _attribute(2, _mac(mac)))


def default_route(index: int, gateway: Address) -> bytes:
    """Send all else to the gateway."""
    body = _ROUTE.pack(_FAMILIES[gateway.version], 0, 0, 0, _MAIN, _BOOT, _UNIVERSE, _UNICAST, 0)
    return _message(_NEWROUTE, _NEW, body + _attribute(5, gateway.packed) + _number(4, index))


def route(index: int, other: IPv6Address) -> bytes:
    """Lead to one address."""
    body = _ROUTE.pack(_FAMILIES[6], other.max_prefixlen, 0, 0, _MAIN, _BOOT, _UNIVERSE, _UNICAST, 0)
    return _message(_NEWROUTE, _NEW, body + _attribute(1, other.packed) + _number(4, index))


def no_groups(index: int) -> bytes:
    """Take away an interface's own route to IPv6's groups, which the kernel gave it."""
    body = _ROUTE.pack(_FAMILIES[6], 8, 0, 0, _LOCAL, 0, _UNIVERSE, 0, 0)
    return _message(_DELROUTE, _REQUEST | _ACK, body + _attribute(1, _GROUPS) + _number(4, index))


def reservation(network: Network) -> bytes:
    """Have what goes to a network come back as unreachable, wherever no better route leads."""
    return _message(_NEWROUTE, _REQUEST | _ACK | _CREATE | _REPLACE, _reserved(network))


def no_reservation(network: Network) -> bytes:
    """Take that back."""
    return _message(_DELROUTE, _REQUEST | _ACK, _reserved(network))


def _reserved(network: Network) -> bytes:
    family, prefix = _FAMILIES[network.version], network.prefixlen
    body = _ROUTE.pack(family, prefix, 0, 0, _MAIN, PROTOCOL, _UNIVERSE, _UNREACHABLE, 0)
    return body + _attribute(1, network.network_address.packed)


def no_group(group: int) -> bytes:
    """Remove every interface of a link group."""
    return _message(_DELLINK, _REQUEST | _ACK, _LINK.pack(0, 0, 0, 0, 0) + _number(27, group))


def answers(data: bytes) -> Iterator[int]:
    """Yield the error number of each answer, 0 for done."""
    at = 0
    while at < len(data):
        length, kind, _, _, _ = _HEAD.unpack_from(data, at)
        if kind == _ERROR:
            yield -struct.unpack_from("=i", data, at + _HEAD.size)[0]
        at += (length + 3) & ~3
