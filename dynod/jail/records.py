"""What the dyno host must know again after its own death: RUN/host/ID/{record,status,ended}, small files written whole.

`record` is the host's, from before the dyno's plan is passed until it is forgotten. `status` is written by the dyno's init
through a descriptor that it opened before it lost the machine's root. `ended` is the host's: the exit as it was reported,
with what the cgroup said, once the cgroup is gone. Environments are never written here.
"""

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Record:
    """`started`: the init's start time in clock ticks since boot, which with the pid names it for good."""

    id: str
    pid: int
    started: int
    uid: int
    stdio: str
    scratch: str
    cgroup: str
    labels: Mapping[str, str]
    slot: str = ""  # the image of what it writes to, and behind which loop device (disks.py); '' if that is a directory
    device: int = -1
    disk: int = 0  # what fits
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    status: int
    oom: bool
    peak: int
    tally: Mapping[str, Any] = field(default_factory=dict)  # as model.tally.Tally says it


def write(directory: str, name: str, value: Record | Ended) -> None:
    """Write whole or not at all. RUN does not outlive the machine, so nothing is synced."""
    path = f"{directory}/{name}"
    fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, json.dumps(asdict(value)).encode())
    finally:
        os.close(fd)
    os.rename(f"{path}.new", path)


def _known(kind: type[Record] | type[Ended], found: Mapping[str, Any]) -> dict[str, Any]:
    """What this version knows of a record that another one wrote: a dyno outlives its host's version, forwards and back.

    A field that was added later has a default, so that older records are read on.
    """
    return {each.name: found[each.name] for each in fields(kind) if each.name in found}


def read_record(directory: str) -> Record:
    """Raise FileNotFoundError or ValueError when there is none."""
    with open(f"{directory}/record") as file:
        return Record(**_known(Record, json.load(file)))


def read_ended(directory: str) -> Ended | None:
    with contextlib.suppress(FileNotFoundError, ValueError), open(f"{directory}/ended") as file:
        return Ended(**_known(Ended, json.load(file)))
    return None


def open_status(directory: str) -> int:
    return os.open(f"{directory}/status", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)


def read_status(directory: str) -> int | None:
    """The status that init wrote; None if init was killed before it could."""
    with contextlib.suppress(FileNotFoundError, ValueError), open(f"{directory}/status") as file:
        return int(file.read())
    return None


def all_records(directory: str) -> Iterator[tuple[str, Record | None]]:
    """Every directory there, with its record if it has a whole one."""
    for entry in sorted(os.scandir(directory), key=lambda entry: entry.name):
        try:
            yield entry.path, read_record(entry.path)
        except (FileNotFoundError, ValueError, TypeError):
            yield entry.path, None


def start_time(pid: int) -> int:
    """When a process began, in clock ticks since boot; raise FileNotFoundError or ProcessLookupError if it is gone."""
    with open(f"/proc/{pid}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[19])
