"""Which name servers dynos ask: read from the machine's resolv.conf files, as text. The one rule that the stack (which writes
the dynos' resolv.conf) and the network helper (which lets their questions through) must agree on. Files are read elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

CANDIDATES = (
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",  # what systemd-resolved's 127.0.0.53 asks in its turn
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/dnsmasq/resolv.conf",
)
LIBC_LIMIT = 3  # resolv.conf(5): MAXNS


@dataclass(frozen=True, slots=True)
class Resolver:
    """Servers that a dyno can reach; the rest of resolv.conf as it stands."""

    nameservers: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()

    def text(self) -> str:
        """Write it as a resolv.conf."""
        return "".join(
            f"{line}\n" for line in (*(f"nameserver {one}" for one in self.nameservers), *self.rest)
        )


def _reachable(word: str) -> IPv4Address | IPv6Address | None:
    """No loopback address (a dyno's loopback is its own), and nothing that only holds on a cable of the machine's (fe80::1%eth0)."""
    try:
        address = ip_address(word)
    except ValueError:
        return None
    if address.is_loopback or address.is_unspecified:
        return None
    if isinstance(address, IPv6Address) and (
        address.is_link_local or address.scope_id or address.ipv4_mapped
    ):
        return None
    return address


def read_resolver(text: str) -> Resolver:
    """Keep what works inside a dyno. IPv4 first: every dyno has that, and IPv6 only where the machine has a way out by it."""
    servers: list[IPv4Address | IPv6Address] = []
    rest: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", word, *_]:
                if (address := _reachable(word)) is not None:
                    servers.append(address)
            case ["search" | "domain", *domains] if domains != ["."]:
                rest.append(" ".join([line.split()[0], *domains]))
            case ["options", *options] if kept := [
                one for one in options if one not in {"trust-ad", "edns0"}
            ]:
                rest.append(" ".join(["options", *kept]))
            case _:
                pass
    best = sorted(dict.fromkeys(servers), key=lambda each: each.version)
    return Resolver(tuple(map(str, best[:LIBC_LIMIT])), tuple(rest))


def dyno_resolver(texts: Iterable[str]) -> Resolver:
    """Take the first of the files (in the order of CANDIDATES) that names an IPv4 server which dynos can reach, or else an IPv6 one."""
    found = [resolver for resolver in map(read_resolver, texts) if resolver.nameservers]
    by_ipv4 = (resolver for resolver in found if ":" not in resolver.nameservers[0])
    return next(by_ipv4, found[0] if found else Resolver())
