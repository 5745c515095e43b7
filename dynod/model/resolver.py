"""Which name servers dynos ask: read from the machine's resolv.conf files, as text. The one rule that the stack (which writes
the dynos' resolv.conf) and the network helper (which lets their questions through) must agree on. Files are read elsewhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address

CANDIDATES = (
    "/etc/resolv.conf",
    "/run/systemd/resolve/resolv.conf",  # what systemd-resolved's 127.0.0.53 asks in its turn
    "/run/NetworkManager/no-stub-resolv.conf",
    "/run/dnsmasq/resolv.conf",
)
LIBC_LIMIT = 3  # resolv.conf(5): MAXNS


@dataclass(frozen=True, slots=True)
class Resolver:
    """IPv4 servers that a dyno can reach, in order; the rest of resolv.conf as it stands."""

    nameservers: tuple[str, ...] = ()
    rest: tuple[str, ...] = ()

    def text(self) -> str:
        """Write it as a resolv.conf."""
        return "".join(
            f"{line}\n" for line in (*(f"nameserver {one}" for one in self.nameservers), *self.rest)
        )


def read_resolver(text: str) -> Resolver:
    """Keep what works inside a dyno: no loopback address (its loopback is its own), no IPv6 (it has none)."""
    servers: list[str] = []
    rest: list[str] = []
    for line in text.splitlines():
        match line.split():
            case ["nameserver", word, *_]:
                try:
                    address = ip_address(word.partition("%")[0])
                except ValueError:
                    continue
                if (
                    isinstance(address, IPv4Address)
                    and not address.is_loopback
                    and not address.is_unspecified
                ):
                    servers.append(str(address))
            case ["search" | "domain", *domains] if domains != ["."]:
                rest.append(" ".join([line.split()[0], *domains]))
            case ["options", *options] if kept := [
                one for one in options if one not in {"trust-ad", "edns0"}
            ]:
                rest.append(" ".join(["options", *kept]))
            case _:
                pass
    return Resolver(tuple(dict.fromkeys(servers))[:LIBC_LIMIT], tuple(rest))


def dyno_resolver(texts: Iterable[str]) -> Resolver:
    """Take the first of the files (in the order of CANDIDATES) that names a server which dynos can reach."""
    for text in texts:
        resolver = read_resolver(text)
        if resolver.nameservers:
            return resolver
    return Resolver()
