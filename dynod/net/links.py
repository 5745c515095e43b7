"""Cables and addresses, told to the kernel over rtnetlink; the one module that imports pyroute2.

Everything here blocks (0.2 to 1 ms a message) and belongs to one thread: `Links` opens its sockets in the thread that calls it.
`wire` and `unwire` are all that a dyno's network is; the rest reads the machine or keeps the block's own route.
"""

import contextlib
import errno
import importlib.util
import os
import socket
import sys
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network
from typing import Any, Self

from dynod.net import namespaces
from dynod.net.addresses import Block, Slot


def _bare(package: str) -> None:
    """Let a package's modules be imported without its __init__: pyroute2's brings all it has, 85 modules and 6 MiB we never use."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is installed with us"
    sys.modules.setdefault(package, importlib.util.module_from_spec(spec))


_bare("pyroute2")
from pyroute2.iproute.linux import IPRoute  # noqa: E402  # the lines above are for it
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402

INSIDE = "eth0"  # HEROKU.md 1.4
PROTOCOL = 221  # marks our routes among others' (rtnetlink(7), rtm_protocol: above 191 nobody's)
MTU = 1500
_PERMANENT = 0x80  # NUD_PERMANENT


@contextlib.contextmanager
def _told(what: str, *ignored: int) -> Iterator[None]:
    try:
        yield
    except NetlinkError as error:
        if error.code not in ignored:
            raise OSError(error.code, f"cannot {what}: {os.strerror(error.code)}") from error


def _no_ipv6(interface: str) -> None:
    """A dyno has no IPv6: without this both ends would get link-local addresses, and with them a way around."""
    with (
        contextlib.suppress(FileNotFoundError),
        open(f"/proc/sys/net/ipv6/conf/{interface}/disable_ipv6", "w") as file,
    ):
        file.write("1")


class Links:
    """The host's rtnetlink socket."""

    def __init__(self) -> None:
        self._host: Any = IPRoute()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._host.close()

    # -- the machine ---------------------------------------------------------------------------------------------
    def interfaces(self) -> tuple[str, ...]:
        return tuple(link.get("ifname") for link in self._host.get_links())

    def networks(self) -> tuple[IPv4Network, ...]:
        """Every IPv4 address and route of the machine, in all tables, but default routes and our own reservations."""
        addresses = [
            IPv4Network((one.get("address"), one["prefixlen"]), strict=False)
            for one in self._host.get_addr(family=2)
        ]
        routes = [
            IPv4Network((one.get("dst"), one["dst_len"]), strict=False)
            for one in self._host.get_routes(family=2)
            if one["dst_len"] and one["proto"] != PROTOCOL
        ]
        return (*addresses, *routes)

    def mtu(self) -> int:
        """What fits through the way out: dynos that send more would depend on others' path MTU discovery."""
        for route in self._host.get_routes(family=2, table=254):
            if not route["dst_len"] and (index := route.get("oif")):
                return int(self._host.get_links(index)[0].get("mtu") or MTU)
        return MTU

    # -- the block -----------------------------------------------------------------------------------------------
    def reserve(self, block: Block) -> None:
        """What goes to a slot without a dyno is unreachable; it must not leave by the default route."""
        with _told(f"reserve {block.network}"):
            self._host.route("replace", dst=str(block.network), type="unreachable", proto=PROTOCOL)

    def release(self, block: Block) -> None:
        with _told(f"release {block.network}", errno.ESRCH):
            self._host.route("del", dst=str(block.network), type="unreachable", proto=PROTOCOL)

    # -- one dyno ------------------------------------------------------------------------------------------------
    def wire(self, block: Block, slot: Slot, path: str, mtu: int) -> None:
        """Make the namespace, pin it at `path`, and lead a cable into it. Whatever fails, nothing of it stays."""
        try:
            with namespaces.fresh() as inside:
                _no_ipv6("default")
                namespaces.pin(path)
                with (
                    _told(f"wire {slot.interface}"),
                    IPRoute() as peer,
                ):  # a socket stays in the namespace it was opened in
                    self._cable(block, slot, inside, mtu)
                    _inside(peer, slot)
            with _told(f"wire {slot.interface}"):
                self._host_end(slot)
        except BaseException:
            self.unwire(block, [(slot, path)])
            raise

    def _cable(self, block: Block, slot: Slot, namespace: int, mtu: int) -> None:
        self._host.link(
            "add",
            ifname=slot.interface,
            kind="veth",
            address=slot.gateway_mac,  # given, not drawn: udev leaves such addresses alone
            group=block.group,
            mtu=mtu,
            peer={"ifname": INSIDE, "net_ns_fd": namespace, "address": slot.mac, "mtu": mtu},
        )

    def _host_end(self, slot: Slot) -> None:
        _no_ipv6(slot.interface)
        index = socket.if_nametoindex(slot.interface)
        self._host.addr("add", index=index, address=str(slot.gateway), prefixlen=30)
        self._host.link("set", index=index, state="up")
        # Permanent neighbours do not count against the machine's table of 1,024 (gc_thresh3), which all namespaces share.
        self._host.neigh("add", dst=str(slot.address), lladdr=slot.mac, ifindex=index, state=_PERMANENT)

    def unwire(self, block: Block, places: Iterable[tuple[Slot, str]]) -> None:
        """Remove cables and namespaces, many at the price of one: the kernel waits for its readers once per message."""
        places = list(places)
        for slot, _ in places:
            try:
                index = socket.if_nametoindex(slot.interface)
            except OSError:
                continue  # it went before us
            with _told(f"unwire {slot.interface}", errno.ENODEV):
                self._host.link("set", index=index, group=block.dead_group)
        self._remove_group(block.dead_group)
        for _, path in places:
            namespaces.unpin(path)

    def remove_all(self, block: Block) -> None:
        """Remove every cable of the block."""
        self._remove_group(block.group)
        self._remove_group(block.dead_group)

    def _remove_group(self, group: int) -> None:
        with _told(f"remove link group {group}", errno.ENODEV):
            self._host.link("del", group=group)


def _inside(peer: Any, slot: Slot) -> None:
    index = socket.if_nametoindex(
        INSIDE
    )  # the thread is in the namespace; a lookup by netlink would list all
    peer.link("set", index=1, state="up")  # lo is always 1
    peer.addr("add", index=index, address=str(slot.address), prefixlen=30)
    peer.link("set", index=index, state="up")
    peer.neigh("add", dst=str(slot.gateway), lladdr=slot.gateway_mac, ifindex=index, state=_PERMANENT)
    peer.route("add", dst="0.0.0.0/0", gateway=str(slot.gateway), oif=index)
