"""Version 1 trees, through cgroupspy: ROOT/{memory,pids,cpu}/dynod/INSTANCE/ID.

To kill a dyno takes no freezer: it has its own pid namespace, so killing its init kills all of it at once, atomically. One that is
to sleep gets a group in the freezer's tree when it first does: each tree costs every boot something, and few dynos sleep like this.
"""

import contextlib
import os
import signal

from cgroupspy.controllers import Controller, MemoryController
from cgroupspy.interfaces import IntegerFile
from cgroupspy.nodes import Node

from dynod.jail.cgroups import TOP, NotInForce, Usage, count, counts, whole_pages
from dynod.model.jail import Limits
from dynod.model.tally import Tally

TREES = ("memory", "pids", "cpu")
PASSES = 1000  # over a dyno that forks while it is moved
SHARES = 1024  # of a Standard-1X dyno
TICKS = os.sysconf("SC_CLK_TCK")  # a second, of those in which processors' time is told


class PidsController(Controller):  # type: ignore[misc]  # cgroupspy has no types, and no pids controller
    max = IntegerFile("pids.max")


Node.CONTROLLERS[b"pids"] = PidsController


class CgroupsV1:
    """See cgroups.Cgroups."""

    version = 1

    def __init__(self, root: str, instance: str) -> None:
        top = Node(root)
        self._root = root
        self._nodes = {tree: Node(instance, Node(TOP, Node(tree, top))) for tree in TREES}
        self._freezer = f"{root}/freezer/{TOP}/{instance}"
        self._swap = os.path.exists(f"{root}/memory/memory.memsw.limit_in_bytes")

    def prepare(self) -> None:
        for tree in TREES:
            if not os.path.exists(f"{self._root}/{tree}/tasks"):
                raise OSError(
                    2, f"no {tree} controller; mount it: mount -t cgroup -o {tree} {tree} {self._root}/{tree}"
                )
        for directory in self._own():
            os.makedirs(directory, exist_ok=True)
        # Without this all dynos together weigh as much as one process outside, however many processors there are.
        own = self._nodes["cpu"]
        for node in (own.parent, own):
            node.controller.shares = SHARES * (os.cpu_count() or 1)

    def make(self, name: str) -> None:
        for directory in self._groups(name):
            os.mkdir(directory)

    def doors(self, name: str) -> tuple[str, ...]:
        return tuple(f"{directory}/cgroup.procs" for directory in self._groups(name))

    def limit(self, name: str, limits: Limits) -> None:
        memory, pages = self._controller("memory", name), whole_pages(limits.memory)
        if self._swap:  # never below the limit on memory, so it is lifted before that changes
            memory.memsw_limit_in_bytes = None
        _set(memory, "limit_in_bytes", pages)
        if self._swap:
            _set(memory, "memsw_limit_in_bytes", pages)  # memory and swap together: no swap
        _set(self._controller("pids", name), "max", limits.tasks)
        _set(self._controller("cpu", name), "shares", SHARES * limits.cpu)

    def rename(self, name: str, id: str) -> str:
        for old, new in zip(self._groups(name), self._groups(id), strict=True):
            os.rename(old, new)
        return id

    def directories(self, name: str) -> tuple[str, ...]:
        freezer = f"{self._freezer}/{name}"
        return (*self._groups(name), freezer) if os.path.isdir(freezer) else self._groups(name)

    def usage(self, name: str) -> Usage:
        memory: MemoryController = self._controller("memory", name)
        kills = memory.oom_control.get("oom_kill", 0)  # kernels before 4.13 do not count
        return Usage(memory.max_usage_in_bytes or 0, kills)

    def tally(self, name: str) -> Tally:
        memory, pids, cpu = self._groups(name)
        time = counts(f"{cpu}/cpuacct.stat")  # where cpu and cpuacct are one tree, as systemd mounts them
        throttling = counts(f"{cpu}/cpu.stat")
        # Each try beyond the limit fails at one of them.
        met = [count(f"{memory}/memory.{what}failcnt") or 0 for what in ("", "memsw.")]
        return Tally(
            _seconds(time.get("user"), TICKS),
            _seconds(time.get("system"), TICKS),
            _seconds(throttling.get("throttled_time"), 1e9) if throttling.get("nr_periods") else None,
            count(f"{pids}/pids.peak"),
            counts(f"{pids}/pids.events").get("max"),
            sum(met) or None,  # Linux 6.18 was seen to count none where it killed for it: 0 says nothing
            counts(f"{memory}/memory.oom_control").get("oom_kill"),
        )

    def names(self) -> list[str]:
        found: set[str] = set()
        for directory in (*self._own(), self._freezer):
            with contextlib.suppress(FileNotFoundError):
                found |= {entry.name for entry in os.scandir(directory) if entry.is_dir()}
        return sorted(found)

    def kill(self, name: str) -> None:
        for tree in TREES:
            with contextlib.suppress(FileNotFoundError):
                for pid in self._controller(tree, name).procs:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
        self.thaw(name)  # a frozen process does not even take SIGKILL

    def freeze(self, name: str) -> None:
        group = f"{self._freezer}/{name}"
        if not os.path.exists(f"{self._root}/freezer/tasks"):
            raise OSError(
                2, f"no freezer controller; mount it: mount -t cgroup -o freezer freezer {self._root}/freezer"
            )
        os.makedirs(group, exist_ok=True)
        moved: set[int] = set()
        for _ in range(PASSES):
            outside = {*self._controller("pids", name).procs} - moved
            if not outside:
                break
            for pid in outside:
                with contextlib.suppress(ProcessLookupError):
                    _write(f"{group}/cgroup.procs", str(pid))
            moved |= outside
        _write(f"{group}/freezer.state", "FROZEN")
        # The most that it takes back is the page cache, where there is no swap.
        with contextlib.suppress(OSError):
            _write(
                f"{self._root}/memory/{TOP}/{os.path.basename(self._freezer)}/{name}/memory.force_empty", "0"
            )

    def thaw(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            _write(f"{self._freezer}/{name}/freezer.state", "THAWED")

    def frozen(self, name: str) -> bool:
        try:
            with open(f"{self._freezer}/{name}/freezer.self_freezing") as file:
                return file.read().strip() == "1"
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        for directory in (*self._own(), self._freezer):
            with contextlib.suppress(OSError):
                os.rmdir(directory)
                os.rmdir(os.path.dirname(directory))

    def _own(self) -> tuple[str, ...]:
        return tuple(os.fsdecode(self._nodes[tree].full_path) for tree in TREES)

    def _groups(self, name: str) -> tuple[str, ...]:
        return tuple(f"{directory}/{name}" for directory in self._own())

    def _controller(self, tree: str, name: str) -> Controller:
        return Node(name, self._nodes[tree]).controller


def _seconds(time: int | None, unit: float) -> float | None:
    return None if time is None else time / unit


def _set(controller: Controller, name: str, value: int) -> None:
    """Write and read back: the kernel says nothing when it clips."""
    try:
        setattr(controller, name, value)
    except OSError as error:
        raise OSError(error.errno, error.strerror, f"limit {name} {value}") from error
    found = getattr(controller, name)
    if found != value:
        raise NotInForce(name, value, found)


def _write(path: str, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    finally:
        os.close(fd)
