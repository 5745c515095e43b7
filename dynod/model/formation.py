"""Process types, sizes and the formation."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from dynod.model.refused import Refusal, Refused

ProcessType = NewType("ProcessType", str)
WEB = ProcessType("web")
RELEASE = ProcessType("release")

_PROCESS_TYPE = re.compile(r"[-\w]{1,128}", re.ASCII)  # HEROKU.md 1.8

MIB = 1024 * 1024
GIB = 1024 * MIB


def process_type(text: str) -> ProcessType:
    """Check a process type's name; raise Refused(INVALID)."""
    if not _PROCESS_TYPE.fullmatch(text):
        raise Refused(
            Refusal.INVALID,
            f"cannot use {text!r} as a process type: letters, digits, dashes and underscores only, 128 at most",
        )
    return ProcessType(text)


@dataclass(frozen=True, slots=True)
class DynoSize:
    """`memory` in bytes (R14 at it, R15 at twice it), `cpu` in shares of a Standard-1X, `tasks` processes and threads,
    `disk` bytes for all that it writes.
    """

    name: str
    memory: int
    cpu: int
    tasks: int
    max_per_type: int
    cents: int
    one_offs: int = 50  # at the same time, of one app, in all sizes of the same kind
    units: float = 0.0  # Heroku's own measure
    disk: int = 4 * GIB  # ours: Heroku names none


# HEROKU.md 1.6 (tasks) and 1.7 (RAM, shares, scaling rules, price per month, one-offs, units); `offer` adds those of this machine.
SIZES: dict[str, DynoSize] = {
    size.name.lower(): size
    for size in (
        DynoSize("Eco", 512 * MIB, 1, 256, 1, 500, 1, units=0.28),
        DynoSize("Basic", 512 * MIB, 1, 256, 1, 700, units=0.28),
        DynoSize("Standard-1X", 512 * MIB, 1, 256, 100, 2500, units=1),
        DynoSize("Standard-2X", 1024 * MIB, 2, 512, 100, 5000, units=2, disk=8 * GIB),
        DynoSize("Performance-M", 2560 * MIB, 12, 16384, 10, 25000, 5, units=8, disk=16 * GIB),
        DynoSize("Performance-L", 14336 * MIB, 50, 32768, 10, 50000, 5, units=16, disk=32 * GIB),
        DynoSize("Performance-L-RAM", 30720 * MIB, 24, 16384, 10, 50000, 5, units=16, disk=32 * GIB),
        DynoSize("Performance-XL", 63488 * MIB, 50, 32768, 10, 75000, 5, units=30, disk=64 * GIB),
        DynoSize("Performance-2XL", 129024 * MIB, 100, 32768, 10, 150000, 5, units=60, disk=64 * GIB),
    )
}
HEROKUS = frozenset(SIZES)
_ALIASES = {"1x": "standard-1x", "2x": "standard-2x", "px": "performance-l", "free": "eco", "hobby": "basic"}
DEFAULT_SIZE = SIZES["standard-1x"]
ECO = SIZES["eco"]
MAX_DYNOS = 100  # per app, HEROKU.md 8


def dyno_size(text: str) -> DynoSize:
    """Find a size by its name in any case, old names too; raise Refused(INVALID)."""
    key = text.lower()
    size = SIZES.get(_ALIASES.get(key, key))
    if size is None:
        names = ", ".join(each.name for each in SIZES.values())
        raise Refused(Refusal.INVALID, f"cannot find dyno size {text!r}; sizes are {names}")
    return size


def taken(name: str) -> bool:
    """Whether Heroku calls, or called, a size by this name, in any case."""
    return name.lower() in HEROKUS or name.lower() in _ALIASES


def offer(sizes: Iterable[DynoSize]) -> None:
    """Add sizes to the table; those that are in it stay as they are. Once, before anything is decided by it."""
    for size in sizes:
        SIZES.setdefault(size.name.lower(), size)


def quota_of(name: str) -> int:
    """How much memory a dyno of this size has, in bytes; 0 for a size that was taken out of dynod.toml while it ran."""
    size = SIZES.get(name.lower())
    return 0 if size is None else size.memory


@dataclass(frozen=True, slots=True)
class Formation:
    """One row of an app's formation: how many dynos of which size run which command."""

    id: str
    type: ProcessType
    quantity: int
    size: DynoSize
    command: str


@dataclass(frozen=True, slots=True)
class Scale:
    """One asked change: `quantity` as the CLI writes it ("2", "+1", "-1") or None, `size` or None for as it is."""

    type: ProcessType
    quantity: str | None
    size: DynoSize | None
