"""The plan of one dyno's jail: a value that says everything the dyno host does, in order, before the app's first word.

core/launch.py makes it, `dynod explain` prints it, dynod/jail/ runs it, and nobody else decides anything. It travels as
JSON (`to_json`, `from_json`), because the dyno host imports nothing but the standard library, ctypes and prctl.
What is not here: how the kernel is told (dynod/jail/), which values are right (core/launch.py).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from enum import StrEnum
from typing import Any, Self


class Stdio(StrEnum):
    """Where the main command's standard streams go."""

    LOG = "log"  # stdin empty, stdout and stderr into one pipe that logplex reads
    PTY = "pty"  # a pseudo-terminal of the dyno's own devpts; its master is handed to the caller
    PIPE = "pipe"  # stdin and stdout+stderr as two pipes handed to the caller


@dataclass(frozen=True, slots=True)
class Bind:
    """Show host directory or file `source` at `target` (absolute, inside). `idmap`: owned by the dyno's uid inside."""

    source: str
    target: str
    writable: bool = False
    idmap: bool = False

    def describe(self) -> str:
        mode = "rw" if self.writable else "ro"
        owner = ", as the dyno's own files" if self.idmap else ""
        return f"bind {self.source} at {self.target} ({mode}, nosuid, nodev{owner})"


class Ceiling(StrEnum):
    """How the kernel is made to keep a dyno from writing more than its plan says."""

    AUTO = "auto"  # by QUOTA where that is in force, else by IMAGE
    QUOTA = "quota"  # the file system's project quotas
    IMAGE = "image"  # a file system of that size, in a file
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Limits:
    """In force before the app's first instruction, or the dyno does not start.

    `memory` in bytes (the kernel's hard stop), `tasks` processes and threads, `cpu` shares of a Standard-1X (1 = 1,024
    v1 shares = 100 v2 weight), `files` open descriptors per process. `disk` in bytes and `inodes` are for all that it
    writes anywhere but in memory; 0 is no ceiling.
    """

    memory: int
    tasks: int
    cpu: int
    files: int = 10_000
    disk: int = 0
    inodes: int = 0
    ceiling: Ceiling = Ceiling.AUTO

    @property
    def shm(self) -> int:
        """What /dev/shm takes, in bytes: full before the kernel would have to kill for it."""
        return self.memory // 2

    def disk_words(self) -> str:
        if not self.disk:
            return "disk: no ceiling"
        return f"disk: {self.disk} bytes and {self.inodes} files for all it writes ({self.ceiling})"


@dataclass(frozen=True, slots=True)
class JailPlan:
    """One dyno, whole. Directories are absolute host paths.

    `lower`: overlay's read-only layers, uppermost first, each with whether it is shown as the dyno's own (idmapped from
    the owner of its files); the slug (whose tree holds `app/`) comes before the stack's skeleton. `scratch`: a directory of
    this dyno alone, made and removed by the dyno host, that takes everything the dyno writes. `netns`: path of a ready
    network namespace, or '' for an empty one. `argv` runs with `env` in `cwd` as `uid`. `labels` are the caller's: kept
    and given back by `list`, never read. `stop_grace` is not here: signals are the caller's business.
    """

    id: str
    hostname: str
    uid: int
    lower: tuple[tuple[str, bool], ...]
    binds: tuple[Bind, ...]
    scratch: str
    netns: str
    limits: Limits
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdio: Stdio
    labels: Mapping[str, str]
    columns: int = 80
    lines: int = 24

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; raise ValueError or TypeError for anything else."""
        known = {field.name for field in fields(cls)}
        if set(value) - known:
            raise ValueError(f"unknown fields in a jail plan: {sorted(set(value) - known)}")
        return cls(
            **{
                **value,
                "lower": tuple((str(path), bool(idmap)) for path, idmap in value["lower"]),
                "binds": tuple(Bind(**bind) for bind in value["binds"]),
                "limits": Limits(**_limits(value["limits"])),
                "argv": tuple(value["argv"]),
                "stdio": Stdio(value["stdio"]),
            }
        )

    def addresses(self) -> str:
        """What its asker said of its network, for people."""
        address, address6 = (self.labels.get(name, "") for name in ("address", "address6"))
        return f"{address or 'its loopback alone'}, {address6 or 'no IPv6'}"

    def describe(self) -> tuple[str, ...]:
        """Say, line by line and in the order of execution, what is done (the text of `dynod explain`)."""
        layers = " : ".join(path + (" (idmapped)" if idmap else "") for path, idmap in self.lower)
        limits = self.limits
        return (
            f"cgroup {self.id}: memory {limits.memory} bytes, {limits.tasks} tasks, cpu x{limits.cpu}",
            "namespaces mount, pid, ipc, uts, cgroup: new",
            f"namespace net: {self.netns or 'new and empty'}",
            f"addresses {self.addresses()}",
            f"hostname {self.hostname}",
            f"overlay at /: lower {layers}; upper {self.scratch}/upper (volatile), nosuid, nodev",
            *(bind.describe() for bind in self.binds),
            "proc at /proc (nosuid, nodev, noexec), /proc/sys read-only, kernel secrets masked",
            "dev at /dev: null zero full random urandom tty ptmx, its own pts and shm; nothing else",
            "no /sys",
            f"uid and gid {self.uid}, no groups, no capabilities in any set, no_new_privs",
            "namespace user: new, knows this uid alone",
            "system calls: those that containers have by default, no new namespaces",
            limits.disk_words(),
            f"/dev/shm: {limits.shm} bytes, counted as memory",
            f"open files {limits.files}, core dumps off",
            f"stdio {self.stdio}",
            f"run in {self.cwd}: {' '.join(self.argv)}",
        )


def _limits(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """An older control plane says nothing of disks."""
    return {**value, "ceiling": Ceiling(value.get("ceiling", Ceiling.AUTO))}


@dataclass(frozen=True, slots=True)
class JoinPlan:
    """One more command in the dyno `id`, which runs: in its namespaces, under its limits, as its uid.

    `session` names it for signals and its end. `stdio` is PTY or PIPE; a session without a client has no use.
    """

    id: str
    session: str
    argv: tuple[str, ...]
    env: Mapping[str, str]
    cwd: str
    stdio: Stdio
    columns: int = 80
    lines: int = 24

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Read what `to_json` wrote; raise ValueError or TypeError for anything else."""
        return cls(**{**value, "argv": tuple(value["argv"]), "stdio": Stdio(value["stdio"])})
