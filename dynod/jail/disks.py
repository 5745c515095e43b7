"""Where each dyno writes, and that it cannot write more than its plan allows: by project quota where STATE has them in force, else
in a slot of that size (slots.py). A plan may ask for one of them, or for no ceiling; what cannot be had is a dyno that does not start.
"""

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass

from dynod.jail import handover, keeper, loops, mounts, projects
from dynod.jail.check import ID, BadPlan, Rules
from dynod.jail.diary import say
from dynod.jail.idmap import Maps
from dynod.jail.records import Record
from dynod.jail.slots import Shape, Slot, Slots
from dynod.model.jail import Ceiling, JailPlan, Limits

FULL = 64  # a disk is called full when less than this part of it is left
_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
Sweep = Callable[[list[str], str, str, Callable[[str], None], int], None]


@dataclass(frozen=True, slots=True)
class Taken:
    """`tree`: a mount of what takes the dyno's writes; `slot` and `device`: its image's, if it has one."""

    tree: int
    slot: str = ""
    device: int = -1


class Disks:
    """`sweep(trees, cgroup, record directory, done, project)` removes in the background."""

    def __init__(self, rules: Rules, sweep: Sweep, slots: Slots, maps: Maps) -> None:
        self._rules, self._sweep, self.slots, self._maps = rules, sweep, slots, maps
        self._held: dict[str, Slot] = {}  # by image
        self._projects: dict[str, int] = {}  # by directory, until the kernel counts nothing for them any more
        directory = f"{rules.state}/dynos"
        os.makedirs(directory, 0o711, exist_ok=True)
        self.quotas = projects.enforced(directory) and projects.proven(directory, rules.uid_first - 1)

    def way(self, limits: Limits) -> Ceiling:
        """How a dyno's ceiling is put in force."""
        if not limits.disk:
            return Ceiling.NONE
        if limits.ceiling is Ceiling.AUTO:
            return Ceiling.QUOTA if self.quotas else Ceiling.IMAGE
        return limits.ceiling

    def ready(self, limits: Limits, waiting: int) -> bool:
        """Whether `take` need not wait for a slot; if it must, one is being made, and Slots tells when it is."""
        return self.way(limits) is not Ceiling.IMAGE or self.slots.has(_shape(limits), waiting)

    def take(self, plan: JailPlan, opened: list[int]) -> Taken:
        """Make or take what this dyno writes to; `clear` undoes it. Raise OSError or BadPlan with nothing left."""
        way = self.way(plan.limits)
        if way is Ceiling.IMAGE:
            slot = self.slots.take(_shape(plan.limits))
            self._held[slot.image] = slot
            tree, slot.tree = slot.tree, -1
            opened.append(tree)
            return Taken(tree, slot.image, slot.device)
        if way is Ceiling.QUOTA and not self.quotas:
            raise BadPlan(
                f"project quotas are not in force in {self._rules.state}/dynos; mount it with prjquota, or set disk_ceiling"
                ' = "auto" in dynod.toml'
            )
        if way is Ceiling.QUOTA and plan.uid in self._projects.values():
            raise BadPlan(
                f"what an earlier dyno of uid {plan.uid} wrote is not all removed yet; try again in a moment"
            )
        handover.make_scratch(plan.scratch)
        try:
            if way is Ceiling.QUOTA:
                self._projects[plan.scratch] = plan.uid
                projects.bind(plan.scratch, plan.uid, plan.limits.disk, plan.limits.inodes)
            handover.make_layers(plan.scratch)
            return Taken(self._open(plan.scratch, opened))
        except OSError:
            self._remove(plan.scratch, "", "", _said)
            raise

    def _open(self, scratch: str, opened: list[int]) -> int:
        fd = mounts.source(scratch, self._rules)
        try:
            opened.append(mounts.tree(fd, scratch, writable=True))
        finally:
            os.close(fd)
        return opened[-1]

    def clear(self, scratch: str, slot: str, group: str, directory: str, done: Callable[[str], None]) -> None:
        """Remove what a dyno wrote, then its cgroup ('' for none) and its record's directory; then call done(why not)."""
        held = self._held.pop(slot, None)
        if held is not None:
            self.slots.clear(held, lambda: self._sweep([], group, directory, done, 0))
        elif scratch and not slot:
            self._remove(scratch, group, directory, done)
        else:
            self._sweep([], group, directory, done, 0)

    def _remove(self, scratch: str, group: str, directory: str, done: Callable[[str], None]) -> None:
        def removed(error: str) -> None:
            if not error:
                self._projects.pop(scratch, None)
            done(error)

        self._sweep([scratch], group, directory, removed, self._projects.get(scratch, 0))

    def upper(self, record: Record) -> int:
        """Open what a dyno wrote; raise FileNotFoundError if nothing is left of it.

        A control plane that is not root would see little of it: it gets a mount, read-only, where the dyno's files are its own.
        """
        if record.slot and record.slot not in self._held:
            raise FileNotFoundError(2, "its file system ended with it", record.slot)
        held = self._held[record.slot] if record.slot else None
        if not self._rules.operator:
            return (
                os.open("upper", _LOOK, dir_fd=held.root)
                if held
                else os.open(f"{record.scratch}/upper", _LOOK)
            )
        shown = self._maps.fd(record.uid, record.uid, self._rules.operator)
        mount = keeper.shown(held.device, shown) if held else self._shown(f"{record.scratch}/upper", shown)
        try:
            return os.open("upper" if held else ".", _LOOK, dir_fd=mount)
        finally:
            os.close(mount)

    def _shown(self, upper: str, userns: int) -> int:
        fd = mounts.source(upper, self._rules)
        try:
            return mounts.tree(fd, upper, writable=False, userns=userns)
        finally:
            os.close(fd)

    def fault(self, record: Record) -> str:
        """Look at what a dyno writes to: `broken`, `full`, or '' if it may write on."""
        with contextlib.suppress(OSError):
            held = self._held.get(record.slot)
            if not record.disk or (record.slot and held is None):
                return ""
            room = os.fstatvfs(held.root) if held else os.statvfs(record.scratch)
            if room.f_flag & os.ST_RDONLY or (held and loops.errors(held.device)):
                return "broken"
            if room.f_bavail * FULL < room.f_blocks or room.f_favail * FULL < room.f_files:
                return "full"
        return ""

    def adopt(self, record: Record) -> None:
        """Take a slot back into hand, if its dyno lives; of one that does not, nothing is left. A quota is as it was."""
        if self.quotas and record.disk and not record.slot:
            self._projects[record.scratch] = record.uid
        slot = record.slot and self.slots.again(record.slot, record.device, (record.disk, record.inodes))
        if slot:
            self._held[slot.image] = slot

    def adopted(self, scratches: set[str]) -> None:
        """After every `adopt`: what a host before the machine's last start left goes, but those directories and slots."""
        self.slots.forget_unknown(set(self._held))
        with os.scandir(f"{self._rules.state}/dynos") as entries:
            left = [
                entry.path for entry in entries if ID.fullmatch(entry.name) and entry.path not in scratches
            ]
        for path in left:
            if self.quotas and (project := projects.of(path)):
                self._projects[path] = project
            self._remove(path, "", "", _said)


def _shape(limits: Limits) -> Shape:
    return limits.disk, limits.inodes


def _said(error: str) -> None:
    if error:
        say(f"cannot clear up: {error}")
