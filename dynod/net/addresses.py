"""The address plan, pure: which part of 172.16.0.0/12 an instance takes, and what each of its dynos gets of it.

172.16.0.0/12 (HEROKU.md 1.4) falls into 64 blocks of a /18; a running instance holds one block, and everything it leaves in
the kernel (interfaces, table, route, link groups) is named after the block's number. So two instances can never meet, and
who takes over an abandoned block owns the leftovers by name. A block has 4,000 slots, each a /30: the host's end and the
dyno's. What holds a block is in claim.py. By IPv6, where dynos have it (ipv6.py), the same blocks and slots lie in a unique local prefix.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

RANGE = IPv4Network("172.16.0.0/12")
# RFC 4193; dynod in ASCII. It never leaves the machine: NAT hides it.
RANGE6 = IPv6Network("fd64:796e:6f64::/48")
BLOCK_PREFIX = 18
PREFIX, PREFIX6 = 30, 126  # of a slot
SLOTS = 4_000
BLOCKS = 2 ** (BLOCK_PREFIX - RANGE.prefixlen)
ANY_DYNO = "dyno"  # every instance's interfaces begin so
INTERFACE_LIMIT = 15  # IFNAMSIZ less the NUL
_GROUPS = 0x64790000  # link groups of ours start here


@dataclass(frozen=True, slots=True)
class Slot:
    """One dyno's place: the host's end of the cable and the dyno's."""

    number: int
    interface: str
    gateway: IPv4Address
    address: IPv4Address
    gateway6: IPv6Address
    address6: IPv6Address

    @property
    def gateway_mac(self) -> str:
        return _mac(self.gateway)

    @property
    def mac(self) -> str:
        return _mac(self.address)


def _mac(address: IPv4Address) -> str:
    """Locally administered, and told by the address: who comes next to a slot finds no stale neighbour entry."""
    return ":".join(f"{byte:02x}" for byte in (0x0A, 0x58, *address.packed))


@dataclass(frozen=True, slots=True)
class Block:
    """One instance's part of the range."""

    number: int

    @property
    def network(self) -> IPv4Network:
        size = 2 ** (32 - BLOCK_PREFIX)
        return IPv4Network((int(RANGE.network_address) + self.number * size, BLOCK_PREFIX))

    @property
    def network6(self) -> IPv6Network:
        return IPv6Network((int(RANGE6.network_address) + (self.number << 64), 64))

    @property
    def prefix(self) -> str:
        """How the block's interfaces are called; the dash keeps dyno1- and dyno17- apart."""
        return f"{ANY_DYNO}{self.number}-"

    @property
    def table(self) -> str:
        return f"dynod_{self.number}"

    @property
    def group(self) -> int:
        """The link group of the block's live interfaces."""
        return _GROUPS + 2 * self.number

    @property
    def dead_group(self) -> int:
        """The link group of those about to be removed, all by one message."""
        return self.group + 1

    def slot(self, number: int) -> Slot:
        if not 0 <= number < SLOTS:
            raise ValueError(f"no slot {number} in a block of {SLOTS}")
        first = self.network.network_address + 4 * number
        first6 = self.network6.network_address + 4 * number
        return Slot(number, f"{self.prefix}{number}", first + 1, first + 2, first6 + 1, first6 + 2)


def _preference(block: Block) -> tuple[int, int]:
    """172.16 first, then downwards from 172.30: Docker counts upwards from 172.17, and 172.31 is AWS' default network."""
    second = block.network.network_address.packed[1]
    return ((16, *range(30, 16, -1), 31).index(second), block.number)


def free_blocks(busy: Iterable[IPv4Network], interfaces: Iterable[str]) -> Iterator[Block]:
    """Yield the blocks that overlap nothing of the machine's and have no interface left over, the best first."""
    taken = [network for network in busy if network.overlaps(RANGE)]
    names = tuple(interfaces)
    for block in sorted(map(Block, range(BLOCKS)), key=_preference):
        overlaps = any(block.network.overlaps(network) for network in taken)
        if not overlaps and not any(name.startswith(block.prefix) for name in names):
            yield block
