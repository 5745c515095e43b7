"""Version 2: UNDER/INSTANCE/NAME, UNDER being a delegated directory or ROOT/dynod.

The kernel cannot rename a version 2 group, so a dyno keeps its embryo's; `list` tells which it is. cgroupspy knows only
version 1, so the files are written here as they are.
"""

import contextlib
import os

from dynod.jail.cgroups import NotInForce, Usage, count, counts, waited, whole_pages
from dynod.model.jail import Limits
from dynod.model.tally import Tally

CONTROLLERS = ("cpu", "memory", "pids")
WEIGHT = 100  # of a Standard-1X dyno; the kernel's default
MOST_WEIGHT = 10_000


class CgroupsV2:
    """See cgroups.Cgroups."""

    version = 2

    def __init__(self, under: str, instance: str, operator: int = 0) -> None:
        """`operator`: whose memory.high is, at which it sets its alarms; it may not loosen what is a limit."""
        self._under, self._operator = under, operator
        self._own = f"{under}/{instance}"

    def prepare(self) -> None:
        above = os.path.dirname(self._under)
        if not os.path.isdir(self._under):
            self._enable(above)
            os.mkdir(self._under)
            # Without this all dynos together weigh as much as one service, however many processors there are.
            _write(f"{self._under}/cpu.weight", str(min(WEIGHT * (os.cpu_count() or 1), MOST_WEIGHT)))
        self._step_aside()
        self._enable(self._under)
        os.makedirs(self._own, exist_ok=True)
        self._enable(self._own)

    def make(self, name: str) -> None:
        os.mkdir(f"{self._own}/{name}")
        if self._operator:
            os.chown(f"{self._own}/{name}/memory.high", self._operator, -1)

    def doors(self, name: str) -> tuple[str, ...]:
        return (f"{self._own}/{name}/cgroup.procs",)

    def limit(self, name: str, limits: Limits) -> None:
        self._set(name, "memory.max", whole_pages(limits.memory))
        if os.path.exists(f"{self._own}/{name}/memory.swap.max"):
            self._set(name, "memory.swap.max", 0)
        self._set(name, "pids.max", limits.tasks)
        self._set(name, "cpu.weight", min(WEIGHT * limits.cpu, MOST_WEIGHT))

    def rename(self, name: str, id: str) -> str:  # noqa: ARG002  # the kernel cannot
        return name

    def directories(self, name: str) -> tuple[str, ...]:
        return (f"{self._own}/{name}",)

    def usage(self, name: str) -> Usage:
        try:
            peak = int(self._get(name, "memory.peak"))
        except FileNotFoundError:  # kernels before 5.19
            peak = int(self._get(name, "memory.current"))
        events = dict(line.split() for line in self._get(name, "memory.events").splitlines())
        return Usage(peak, int(events.get("oom_kill", 0)))

    def tally(self, name: str) -> Tally:
        own = f"{self._own}/{name}"
        cpu, memory = counts(f"{own}/cpu.stat"), counts(f"{own}/memory.events")
        return Tally(
            _seconds(cpu.get("user_usec")),
            _seconds(cpu.get("system_usec")),
            _seconds(cpu.get("throttled_usec")) if cpu.get("nr_periods") else None,
            count(f"{own}/pids.peak"),
            counts(f"{own}/pids.events").get("max"),
            memory.get("max"),
            memory.get("oom_kill"),
            *(waited(f"{own}/{what}.pressure") for what in ("cpu", "memory", "io")),
        )

    def names(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return sorted(entry.name for entry in os.scandir(self._own) if entry.is_dir())
        return []

    def kill(self, name: str) -> None:
        _write(f"{self._own}/{name}/cgroup.kill", "1")

    def freeze(self, name: str) -> None:
        _write(f"{self._own}/{name}/cgroup.freeze", "1")
        # EAGAIN: less could be taken back than there is; kernels before 5.19 have none.
        with contextlib.suppress(OSError):
            _write(f"{self._own}/{name}/memory.reclaim", self._get(name, "memory.current"))

    def thaw(self, name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            _write(f"{self._own}/{name}/cgroup.freeze", "0")

    def frozen(self, name: str) -> bool:
        try:
            return self._get(name, "cgroup.freeze") == "1"
        except FileNotFoundError:
            return False

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            os.rmdir(self._own)
            os.rmdir(self._under)

    def _step_aside(self) -> None:
        """Under systemd the delegated group is the one this host was started in; groups with children hold no process."""
        if str(os.getpid()) in _read(f"{self._under}/cgroup.procs").split():
            os.makedirs(f"{self._under}/host", exist_ok=True)
            _write(f"{self._under}/host/cgroup.procs", "0")

    def _enable(self, directory: str) -> None:
        """Let the groups below have our controllers; the kernel refuses where processes sit in `directory` itself."""
        there = _read(f"{directory}/cgroup.controllers").split()
        missing = [name for name in CONTROLLERS if name not in there]
        if missing:
            raise OSError(
                2, f"cgroup {directory} has no {', '.join(missing)}; delegate it (systemd: Delegate=yes)"
            )
        given = _read(f"{directory}/cgroup.subtree_control").split()
        lacking = [name for name in CONTROLLERS if name not in given]
        if lacking:
            _write(f"{directory}/cgroup.subtree_control", " ".join(f"+{name}" for name in lacking))

    def _set(self, name: str, file: str, value: int) -> None:
        try:
            _write(f"{self._own}/{name}/{file}", str(value))
        except OSError as error:
            raise OSError(error.errno, error.strerror, f"limit {file} {value}") from error
        found = self._get(name, file)
        if found != str(value):
            raise NotInForce(file, value, found)

    def _get(self, name: str, file: str) -> str:
        return _read(f"{self._own}/{name}/{file}")


def _seconds(microseconds: int | None) -> float | None:
    return None if microseconds is None else microseconds / 1e6


def _read(path: str) -> str:
    with open(path) as file:
        return file.read().strip()


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
