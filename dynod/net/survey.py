"""What the machine has of networks. `survey()` asks a process of its own, which ends once it has told: `python -m dynod.net.survey`.

The one module that uses pyroute2, and only in that process: the helper asks once, at its start, and then idles for good, so that
its 8 MiB (and what reading hundreds of links leaves behind) would be held for nothing.
"""

import importlib.util
import json
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from dynod.net.ipv6 import Machine, look
from dynod.net.messages import PROTOCOL

MTU = 1500
_UNICAST = 1  # RTN_UNICAST
_MAIN = 254  # RT_TABLE_MAIN
_INET, _INET6 = int(socket.AF_INET), int(socket.AF_INET6)


@dataclass(frozen=True, slots=True)
class Survey:
    """`networks`: every IPv4 address and route of the machine, in all tables, but default routes and our own reservations.

    `mtu`: what fits through the way out; dynos that send more would depend on others' path MTU discovery.
    """

    networks: tuple[IPv4Network, ...]
    mtu: int
    ipv6: Machine


def survey() -> Survey:
    """Look at the machine, in the network namespace of the thread that calls; raise OSError. Blocks for 0.2 s."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "dynod.net.survey"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        why = done.stderr.strip().rpartition("\n")[2]
        raise OSError(f"cannot look at this machine's networks: {why or f'it ended with {done.returncode}'}")
    told = json.loads(done.stdout)
    return Survey(
        tuple(map(IPv4Network, told["networks"])), told["mtu"], look(told["routes6"], told["addresses6"])
    )


def _bare(package: str) -> None:
    """Let a package's modules be imported without its __init__: pyroute2's brings all it has, 85 modules we never use."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"{package} is installed with us"
    sys.modules.setdefault(package, importlib.util.module_from_spec(spec))


def _networks(netlink: Any) -> list[str]:
    addresses = [(one.get("address"), one["prefixlen"]) for one in netlink.get_addr(family=_INET)]
    routes = [
        (one.get("dst"), one["dst_len"])
        for one in netlink.get_routes(family=_INET)
        if one["dst_len"] and one["proto"] != PROTOCOL
    ]
    return [str(IPv4Network(each, strict=False)) for each in (*addresses, *routes)]


def _mtu(netlink: Any) -> int:
    for route in netlink.get_routes(family=_INET, table=_MAIN):
        if not route["dst_len"] and (index := route.get("oif")):
            return int(netlink.get_links(index)[0].get("mtu") or MTU)
    return MTU


def _ipv6(netlink: Any) -> dict[str, Sequence[tuple[str, int]]]:
    """What a link had that went meanwhile is left out."""
    names = dict(socket.if_nameindex())
    routes = [
        (names[index], int(one["proto"]))
        for one in netlink.get_routes(family=_INET6, table=_MAIN)
        if not one["dst_len"] and one["type"] == _UNICAST and (index := _way(one)) in names
    ]
    addresses = [
        (names[one["index"]], int(one.get("flags") or one["flags"]))
        for one in netlink.get_addr(family=_INET6)
        if not one["scope"] and one["index"] in names
    ]
    return {"routes6": routes, "addresses6": addresses}


def _way(route: Any) -> int:
    """The interface of a route; of the first, where it has several."""
    if index := route.get("oif"):
        return int(index)
    return next((int(hop["oif"]) for hop in route.get("multipath") or () if hop.get("oif")), 0)


def main() -> None:
    """Be the process that looks."""
    _bare("pyroute2")
    from pyroute2.iproute.linux import IPRoute  # noqa: PLC0415  # this process alone, and after the line above

    with IPRoute() as netlink:
        told = {"networks": _networks(netlink), "mtu": _mtu(netlink), **_ipv6(netlink)}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main()
