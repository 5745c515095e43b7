"""Client addresses: how they are written, and how many connections each has at this worker, counted only while the table sets a limit."""

import socket
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from router.server import Client

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
    """Each connection is `opened` once, which may be its end, and `closed` once, counted or not."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._counted: dict[Client, bytes] = {}

    def opened(self, client: "Client", most: int) -> None:
        """Count it in, or drop it, if there are `most` of its address already."""
        peer = client.transport.get_extra_info("peername")
        if not peer:
            return
        key = who(peer[0])
        if self._counts.get(key, 0) >= most:
            client.transport.abort()
            return
        self._counts[key] += 1
        self._counted[client] = key

    def closed(self, client: "Client") -> None:
        """Count it out; an address without connections is forgotten."""
        key = self._counted.pop(client, None)
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
