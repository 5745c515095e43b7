"""Client addresses: how they are written, and how many connections each has at this worker, counted only while the table sets a limit."""

import asyncio
import socket
from collections import Counter

_MAPPED = bytes(10) + b"\xff\xff"  # an IPv4 address in IPv6's clothes


def shown(address: str) -> str:
    """Write a client's address as dynos and the log are told it: an IPv4 address as that, though it came to a socket of IPv6, and no interface."""
    plain = address.partition("%")[0]
    return plain.removeprefix("::ffff:") if "." in plain else plain


def who(address: str) -> bytes:
    """Say who is counted as one: an IPv4 address, or the /64 of an IPv6 address, which one client has whole."""
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except OSError:
        return address.encode()
    return socket.inet_ntoa(packed[12:]).encode() if packed.startswith(_MAPPED) else packed[:8]


class Addresses:
    """Each connection is `opened` once, which may be its end, and `closed` once, counted or not. `most` of an address; 0 is no limit."""

    def __init__(self) -> None:
        self.most = 0
        self._counts: Counter[bytes] = Counter()
        self._counted: dict[asyncio.BaseProtocol, bytes] = {}

    def opened(self, connection: asyncio.BaseProtocol, transport: asyncio.Transport) -> None:
        """Count it in, or drop it, if there are `most` of its address already."""
        peer = transport.get_extra_info("peername") if self.most else None
        if not peer:
            return
        key = who(peer[0])
        if self._counts.get(key, 0) >= self.most:
            transport.abort()
            return
        self._counts[key] += 1
        self._counted[connection] = key

    def closed(self, connection: asyncio.BaseProtocol) -> None:
        """Count it out; an address without connections is forgotten."""
        key = self._counted.pop(connection, None)
        if key is not None:
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    def __len__(self) -> int:
        """How many connections are counted."""
        return len(self._counted)

    @property
    def known(self) -> int:
        """How many addresses have some."""
        return len(self._counts)
