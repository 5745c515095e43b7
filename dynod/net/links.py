"""Cables, addresses and the block's own route, told to the kernel over rtnetlink in messages.py's words.

Everything here blocks (1.5 ms for a namespace) and belongs to one thread: `Links` opens its sockets in the thread that calls it.
What the machine has beside us is survey.py's to read.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Collection, Iterable
from typing import Self

from dynod.net import messages, namespaces
from dynod.net.addresses import PREFIX, PREFIX6, Block, Slot

INSIDE = "eth0"  # HEROKU.md 1.4
_TOGETHER = 100  # messages told at a time: their answers must fit into a socket's buffer
_ANSWERS = 64 * 1024
_WAY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
# Where IPv6 was switched off meanwhile, its routes went with it.
_NO_ROUTE = (errno.ESRCH, errno.EOPNOTSUPP, errno.EAFNOSUPPORT, errno.ENODEV)


# A dyno has the IPv6 address that it is given or none: link-local ones, and what an advertisement brings, would be a way around.
_OWN_IPV6 = {"addr_gen_mode": "1", "accept_ra": "0", "accept_redirects": "0", "disable_ipv6": "0"}
_NO_IPV6 = {"disable_ipv6": "1"}


class _Ipv6:
    """The IPv6 settings of the namespace that the thread is in when this is made, wherever it is when they are set."""

    def __init__(self, proc: int) -> None:
        """`proc`: a descriptor of a /proc."""
        try:
            self._all = os.open("sys/net/ipv6/conf", _WAY, dir_fd=proc)
        except FileNotFoundError:
            self._all = -1  # a machine without IPv6

    def set(self, interface: str, *, on: bool) -> None:
        if self._all < 0:
            return
        for name, value in (_OWN_IPV6 if on else _NO_IPV6).items():
            with contextlib.suppress(FileNotFoundError):
                file = os.open(f"{interface}/{name}", os.O_WRONLY | os.O_CLOEXEC, dir_fd=self._all)
                try:
                    os.write(file, value.encode())
                finally:
                    os.close(file)

    def close(self) -> None:
        if self._all >= 0:
            os.close(self._all)


class Line:
    """A bare rtnetlink socket. It stays in the namespace that the thread was in when it was opened."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, 0)

    def close(self) -> None:
        self._sock.close()

    def tell(self, what: str, *said: bytes, ignored: Collection[int] = ()) -> None:
        """Have the kernel do all of it, in order; raise OSError for the first that it refused, once all are answered."""
        refused = 0
        for start in range(0, len(said), _TOGETHER):
            some = said[start : start + _TOGETHER]
            self._sock.send(b"".join(some))
            left = len(some)
            while left:
                for code in messages.answers(self._sock.recv(_ANSWERS)):
                    left -= 1
                    refused = refused or (0 if code in ignored else code)
        if refused:
            raise OSError(refused, f"cannot {what}: {os.strerror(refused)}")


class Links:
    """The host's rtnetlink sockets."""

    def __init__(self) -> None:
        self._line = Line()
        self._proc = namespaces.Proc()
        self._ipv6 = _Ipv6(self._proc.young())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ipv6.close()
        self._proc.close()
        self._line.close()

    # -- the machine ---------------------------------------------------------------------------------------------
    def interfaces(self) -> tuple[str, ...]:
        """Ask libc for the names alone: all that rtnetlink tells of two hundred links leaves 4 MiB behind."""
        return tuple(name for _, name in socket.if_nameindex())

    # -- the block -----------------------------------------------------------------------------------------------
    def reserve(self, block: Block, *, ipv6: bool) -> None:
        """What goes to a slot without a dyno is unreachable; it must not leave by the default route."""
        self._line.tell(f"reserve {block.network}", messages.reservation(block.network))
        if ipv6:
            self._line.tell(f"reserve {block.network6}", messages.reservation(block.network6))

    def release(self, block: Block) -> None:
        for network in (block.network, block.network6):
            self._line.tell(f"release {network}", messages.no_reservation(network), ignored=_NO_ROUTE)

    # -- one dyno ------------------------------------------------------------------------------------------------
    def wire(self, block: Block, slot: Slot, path: str, mtu: int, *, ipv6: bool) -> None:
        """Make the namespace, pin it at `path`, and lead a cable into it. Whatever fails, nothing of it stays."""
        try:
            with namespaces.fresh() as inside:
                with contextlib.closing(_Ipv6(self._proc.young())) as settings:
                    settings.set("default", on=ipv6)
                namespaces.pin(path)
                with contextlib.closing(Line()) as peer:
                    self._line.tell(f"wire {slot.interface}", _cable(block, slot, inside, mtu))
                    peer.tell(f"wire {slot.interface}", *_inside(slot, ipv6=ipv6))
            self._ipv6.set(slot.interface, on=ipv6)
            self._line.tell(f"wire {slot.interface}", *_outside(slot, ipv6=ipv6))
            if ipv6:
                self._line.tell(f"wire {slot.interface}", _no_groups(slot), ignored=_NO_ROUTE)
        except BaseException:
            self.unwire(block, [(slot, path)])
            raise

    def unwire(self, block: Block, places: Iterable[tuple[Slot, str]]) -> None:
        """Remove cables and namespaces, many at the price of one: the kernel waits for its readers once per message."""
        places = list(places)
        dead = [
            messages.into_group(index, block.dead_group)
            for index in (_index(slot.interface) for slot, _ in places)
            if index  # others went before us
        ]
        self._line.tell("unwire dynos", *dead, ignored=(errno.ENODEV,))
        self._remove_group(block.dead_group)
        for _, path in places:
            namespaces.unpin(path)

    def remove_all(self, block: Block) -> None:
        """Remove every cable of the block."""
        self._remove_group(block.group)
        self._remove_group(block.dead_group)

    def _remove_group(self, group: int) -> None:
        self._line.tell(f"remove link group {group}", messages.no_group(group), ignored=(errno.ENODEV,))


def _index(interface: str) -> int:
    try:
        return socket.if_nametoindex(interface)  # a lookup by netlink would list all
    except OSError:
        return 0


def _cable(block: Block, slot: Slot, namespace: int, mtu: int) -> bytes:
    # Addresses are given, not drawn: udev leaves such alone.
    return messages.cable(slot.interface, slot.gateway_mac, block.group, mtu, INSIDE, slot.mac, namespace)


def _inside(slot: Slot, *, ipv6: bool) -> tuple[bytes, ...]:
    """What is told while the thread is in the namespace."""
    index = _index(INSIDE)
    said = (
        messages.up(1),  # lo is always 1
        messages.address(index, slot.address, PREFIX),
        messages.up(index),
        messages.neighbour(index, slot.gateway, slot.gateway_mac),
        messages.default_route(index, slot.gateway),
    )
    if not ipv6:
        return said
    return (
        *said,
        messages.address(index, slot.address6, PREFIX6),
        messages.neighbour(index, slot.gateway6, slot.gateway_mac),
        messages.default_route(index, slot.gateway6),
    )


def _outside(slot: Slot, *, ipv6: bool) -> tuple[bytes, ...]:
    index = _index(slot.interface)
    said = (
        messages.address(index, slot.gateway, PREFIX),
        messages.up(index),
        # Permanent neighbours do not count against the machine's table of 1,024 (gc_thresh3), which all namespaces share.
        messages.neighbour(index, slot.address, slot.mac),
    )
    if not ipv6:
        return said
    return (
        *said,
        # An interface that comes up looks twice through the IPv6 routes of all: two for each instead of the usual four.
        messages.address_alone(index, slot.gateway6),
        messages.route(index, slot.address6),
        messages.neighbour(index, slot.address6, slot.mac),
    )


def _no_groups(slot: Slot) -> bytes:
    """Of all interfaces these routes are one list, which every further one goes through to its end, and each packet to a group too."""
    return messages.no_groups(_index(slot.interface))
