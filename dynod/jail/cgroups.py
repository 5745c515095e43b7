"""Where a dyno's limits live, whichever generation of cgroups the machine has: what both can do, and which one is there.

A group is made and entered by an embryo under a passing name, before anybody waits (moving a process between cgroups
costs RCU grace periods of milliseconds); limits are written and read back when the plan is known.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from dynod.model.jail import Limits
from dynod.model.tally import Tally

TOP = "dynod"
ROOT = "/sys/fs/cgroup"
PAGE = os.sysconf("SC_PAGE_SIZE")


class NotInForce(OSError):
    """A limit that the kernel did not take as asked: the dyno does not start."""

    def __init__(self, name: str, asked: int, found: object) -> None:
        super().__init__(22, f"limit {name} is {found} where {asked} was asked")


def whole_pages(memory: int) -> int:
    """What the kernel makes of a memory limit."""
    return memory - memory % PAGE


@dataclass(frozen=True, slots=True)
class Usage:
    """Read when a dyno has ended: highest memory in bytes, processes that the kernel killed for memory."""

    peak: int
    oom_kills: int


class Cgroups(Protocol):
    """One directory of groups for one dyno host."""

    version: int

    def prepare(self) -> None:
        """Make the directory that holds the groups; raise OSError with the way out if a controller is missing."""

    def make(self, name: str) -> None: ...

    def doors(self, name: str) -> tuple[str, ...]:
        """Files into each of which a process writes 0 to be inside."""
        ...

    def limit(self, name: str, limits: Limits) -> None:
        """Put the limits in force, or raise NotInForce or OSError."""

    def rename(self, name: str, id: str) -> str:
        """Give the group its dyno's name where the kernel can; return the name it has now."""
        ...

    def directories(self, name: str) -> tuple[str, ...]:
        """Every directory of the group, for whoever reads or removes it."""
        ...

    def usage(self, name: str) -> Usage: ...

    def tally(self, name: str) -> Tally:
        """What else was counted, as far as this kernel does; never raises."""
        ...

    def names(self) -> list[str]:
        """Groups that exist."""
        ...

    def kill(self, name: str) -> None:
        """Send SIGKILL to every process inside."""

    def freeze(self, name: str) -> None:
        """Let no process inside run, then take back what memory the kernel can; may take a while. Raise OSError if it cannot be."""

    def thaw(self, name: str) -> None:
        """Let all inside run on; at once, and also where nothing was frozen."""

    def frozen(self, name: str) -> bool: ...

    def remove(self) -> None:
        """Remove the directory that held the groups, if it is empty."""


def counts(path: str) -> Mapping[str, int]:
    """The `name number` lines of a file; none of one that is not there."""
    return {row[0]: int(row[1]) for row in _rows(path) if len(row) == 2}


def count(path: str) -> int | None:
    """The one number of a file; None of one that is not there."""
    return next((int(row[0]) for row in _rows(path)), None)


def waited(path: str) -> float | None:
    """Seconds in which some task had to wait, of a pressure file; None where the kernel keeps none."""
    return next((int(row[-1].removeprefix("total=")) / 1e6 for row in _rows(path) if row[0] == "some"), None)


def _rows(path: str) -> list[list[str]]:
    try:
        with open(path, encoding="ascii") as file:
            return [line.split() for line in file]
    except OSError:  # not in this kernel, or switched off: then reading fails
        return []


def choose(instance: str, under: str = "", operator: int = 0, root: str = ROOT) -> Cgroups:
    """Version 2 where it has the controllers, else the version 1 trees. `under`: a delegated version 2 directory; `operator`: who sets alarms."""
    if under or os.path.exists(f"{root}/cgroup.controllers"):
        from dynod.jail.cgroup_v2 import CgroupsV2  # noqa: PLC0415  # each machine pays for the one it has

        return CgroupsV2(under or f"{root}/{TOP}", instance, operator)
    from dynod.jail.cgroup_v1 import CgroupsV1  # noqa: PLC0415  # as above

    return CgroupsV1(root, instance)
