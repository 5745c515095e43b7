"""What a dyno's cgroup says of its memory and its tasks, in either generation of cgroups. Only reads.

`meter(directories)` finds the files in the directories that the dyno host names (Booted.cgroups). Opening a file for each look
is as cheap as keeping it open here: looks are rare (engine/watch_memory.py), descriptors are not free.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from dynod.core.quota import Reading

MOST_TASKS = 1_000  # looked at for one sample of the load; 32,768 may exist
_RUNNABLE = ("running", "disk-sleep")  # what the kernel's own load average counts


@dataclass(frozen=True, slots=True)
class Meter:
    """One dyno's files. `read` raises OSError once the dyno is gone."""

    version: int
    directory: str

    def read(self) -> Reading:
        """Read everything, in about 50 microseconds."""
        return _read_v1(self.directory) if self.version == 1 else _read_v2(self.directory)

    def runnable(self) -> int:
        """Count the tasks that run or want to; slow (0.1 ms and more per task), so call it in a thread."""
        file = "tasks" if self.version == 1 else "cgroup.threads"
        tasks = _text(f"{self.directory}/{file}").split()[:MOST_TASKS]
        return runnable(int(task) for task in tasks)


def meter(directories: Sequence[str]) -> Meter | None:
    """Find where a dyno's memory is counted; None where it is not."""
    for directory in directories:
        if os.path.exists(f"{directory}/memory.current"):
            return Meter(2, directory)
        if os.path.exists(f"{directory}/memory.usage_in_bytes"):
            return Meter(1, directory)
    return None


def runnable(tasks: Iterable[int], status: Callable[[int], str] | None = None) -> int:
    """Count those of `tasks` (thread ids) that run or want to."""
    return sum((status or _status)(task) in _RUNNABLE for task in tasks)


def _status(task: int) -> str:
    import psutil  # noqa: PLC0415  # only apps that have log-runtime-metrics on need it

    try:
        return str(psutil.Process(task).status())
    except psutil.NoSuchProcess:
        return ""


def counter(version: int, directory: str) -> str:
    """The file with the one number that everything above is part of, swap too where the kernel counts it."""
    if version != 1:
        return f"{directory}/memory.current"
    with_swap = f"{directory}/memory.memsw.usage_in_bytes"
    return with_swap if os.path.exists(with_swap) else f"{directory}/memory.usage_in_bytes"


def _read_v1(directory: str) -> Reading:
    stat = _table(f"{directory}/memory.stat")
    return Reading(
        rss=stat["total_rss"],
        cache=stat["total_cache"],
        swap=stat.get("total_swap", 0),
        pgpgin=stat["total_pgpgin"],
        pgpgout=stat["total_pgpgout"],
        used=int(_text(counter(1, directory))),
        peak=int(_text(f"{directory}/memory.max_usage_in_bytes")),
        kills=_table(f"{directory}/memory.oom_control").get("oom_kill", 0),  # counted since Linux 4.13
    )


def _read_v2(directory: str) -> Reading:
    stat = _table(f"{directory}/memory.stat")
    used = int(_text(f"{directory}/memory.current"))
    return Reading(
        rss=stat["anon"],
        cache=stat["file"],
        swap=_number(f"{directory}/memory.swap.current", 0),  # absent without swap
        # Version 2 counts no paging of a group: faults are the nearest.
        pgpgin=stat.get("pgpgin", stat["pgfault"]),
        pgpgout=stat.get("pgpgout", stat.get("pgsteal", 0)),
        used=used,
        peak=_number(f"{directory}/memory.peak", used),  # since Linux 5.19
        kills=_table(f"{directory}/memory.events").get("oom_kill", 0),
    )


def _text(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def _number(path: str, without: int) -> int:
    try:
        return int(_text(path))
    except FileNotFoundError:
        return without


def _table(path: str) -> Mapping[str, int]:
    rows = (line.split() for line in _text(path).splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2}
