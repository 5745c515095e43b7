"""The router's public ports: all that dynos may reach of this machine, since everybody on the network may. So one app can call another
by its address. Told by the control plane, kept in RUN/netns for the next helper; a router on a loopback address is no public one.
"""

import contextlib
import json
import os
from collections.abc import Iterable
from ipaddress import ip_address
from typing import Any

from dynod.model.refused import Refusal, Refused
from dynod.model.settings import Endpoint

MOST = 16  # addresses of one router


def read(said: Any) -> tuple[Endpoint, ...]:
    """Read `[[address, port], ...]`; raise Refused."""
    try:
        found = tuple(Endpoint(str(ip_address(host)), int(port)) for host, port in said)
    except (TypeError, ValueError) as error:
        raise Refused(
            Refusal.BAD_REQUEST,
            f"cannot tell where the router listens: give [[address, port], ...] ({error})",
        ) from None
    if len(found) > MOST or any(not 0 < each.port < 65_536 for each in found):
        raise Refused(Refusal.BAD_REQUEST, f"cannot open that: at most {MOST} ports from 1 to 65535")
    return found


def rules(routers: Iterable[Endpoint]) -> tuple[str, ...]:
    """What lets dynos reach them; everything of this machine that is not named stays shut."""
    return tuple(_rule(each) for each in routers if not ip_address(each.host).is_loopback)


def _rule(router: Endpoint) -> str:
    address = ip_address(router.host)
    port = f'tcp dport {router.port} accept comment "the router, as from anywhere"'
    if not address.is_unspecified:
        return f"{'ip' if address.version == 4 else 'ip6'} daddr {address} {port}"
    family = "meta nfproto ipv4 " if address.version == 4 else ""  # [::] takes IPv4 too
    return f"{family}fib daddr type local {port}"


def keep(directory: str, routers: Iterable[Endpoint]) -> None:
    """Write them down, whole or not at all."""
    path = f"{directory}/routers"
    with open(f"{path}.new", "w") as file:
        json.dump([[each.host, each.port] for each in routers], file)
    os.rename(f"{path}.new", path)


def recall(directory: str) -> tuple[Endpoint, ...]:
    """What was told before; nothing if that is unknown."""
    with contextlib.suppress(OSError, ValueError, Refused), open(f"{directory}/routers") as file:
        return read(json.load(file))
    return ()
