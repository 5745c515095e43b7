"""Whether dynos have IPv6: where the machine has a way out by it, and forwarding takes nothing away from the machine.

A machine that forwards is a router, and a router does not listen to router advertisements (accept_ra = 1): it would lose, now or when
their time is over, the addresses and the default route that it has from them. Whose network lives by them is left as it is, and told
what to set (accept_ra = 2, which means: listen all the same). `why_not` decides, pure; `look` reads the machine.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass

_CONF = "/proc/sys/net/ipv6/conf"
REMEDY = "; to give dynos IPv6: "
RA = 9  # RTPROT_RA
_PERMANENT = 0x80  # IFA_F_PERMANENT


@dataclass(frozen=True, slots=True)
class Way:
    """A default route by IPv6. `accept_ra` of its interface; `advertised`: it, or an address there, came by an advertisement."""

    interface: str
    accept_ra: int
    advertised: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """`routers`: interfaces that forward by themselves while the machine does not, which putting that back would forget."""

    there: bool
    forwards: bool
    ways: tuple[Way, ...] = ()
    routers: tuple[str, ...] = ()


def why_not(machine: Machine) -> str:
    """Say why dynos have no IPv6, or '' if they have."""
    if not machine.there:
        return "this machine has no IPv6"
    if not machine.ways:
        return "this machine has no way out by IPv6"
    if machine.forwards:
        return ""
    if machine.routers:
        return f"forwarding is set for {machine.routers[0]} alone{REMEDY}sysctl -w net.ipv6.conf.all.forwarding=1"
    for way in machine.ways:
        if way.advertised and way.accept_ra == 1:
            return (
                f"this machine has its own IPv6 from advertisements on {way.interface}, which forwarding would end"
                f"{REMEDY}sysctl -w net.ipv6.conf.{way.interface}.accept_ra=2 and start dynod net again"
            )
    return ""


def _number(interface: str, name: str) -> int:
    try:
        with open(f"{_CONF}/{interface}/{name}") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 0


def look(routes: Iterable[tuple[str, int]], addresses: Iterable[tuple[str, int]]) -> Machine:
    """Read what the machine has. `routes`: interface and protocol of each default route; `addresses`: interface and flags, global ones."""
    there = os.path.isdir(_CONF) and not _number("all", "disable_ipv6")
    lent = {interface for interface, flags in addresses if not flags & _PERMANENT}
    ways = tuple(
        Way(interface, _number(interface, "accept_ra"), protocol == RA or interface in lent)
        for interface, protocol in routes
    )
    forwards = bool(_number("all", "forwarding"))
    names = sorted(os.listdir(_CONF)) if there and not forwards else []
    routers = tuple(name for name in names if name not in {"all", "default"} and _number(name, "forwarding"))
    return Machine(there, forwards, ways, routers)
