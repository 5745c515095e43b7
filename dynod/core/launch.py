"""From a dyno to its jail: which layers, which limits, which command. The plan is a value; dynod/jail/ carries it out."""

from collections.abc import Mapping
from dataclasses import dataclass

from dynod.core import quota
from dynod.core.environ import PATH, argv
from dynod.core.lifecycle import Dyno
from dynod.model.formation import DynoSize
from dynod.model.jail import Bind, Ceiling, JailPlan, Limits, Stdio

BYTES_PER_FILE = 16 * 1024  # as mkfs.ext4 has it: so many files fit on a disk that may be written


@dataclass(frozen=True, slots=True)
class Ground:
    """What every dyno of this machine stands on: the stack's skeleton, its binds, where scratch directories are made.

    `blank`: the tree of a slug that holds nothing but an empty /app. `ceiling`: how disks are kept to their size.
    """

    skeleton: str
    binds: tuple[Bind, ...]
    scratch: str
    blank: str
    ceiling: Ceiling = Ceiling.AUTO


@dataclass(frozen=True, slots=True)
class Wiring:
    """What was taken for this one dyno: its uid, its network namespace and its addresses there."""

    uid: int
    netns: str
    address: str = ""
    address6: str = ""


def limits(size: DynoSize, ceiling: Ceiling = Ceiling.AUTO) -> Limits:
    """What the kernel enforces; R14 and R15 come before it (core/quota.py)."""
    return _bounded(quota.ceiling(size.memory), size.tasks, size.cpu, size.disk, ceiling)


def _bounded(memory: int, tasks: int, cpu: int, disk: int, ceiling: Ceiling) -> Limits:
    disk = 0 if ceiling is Ceiling.NONE else disk
    return Limits(
        memory=memory, tasks=tasks, cpu=cpu, disk=disk, inodes=disk // BYTES_PER_FILE, ceiling=ceiling
    )


def launch_plan(
    dyno: Dyno,
    app_name: str,
    slug: str,
    size: DynoSize,
    env: Mapping[str, str],
    ground: Ground,
    wiring: Wiring,
    stdio: Stdio = Stdio.LOG,
    window: tuple[int, int] = (80, 24),
) -> JailPlan:
    """The one launch path of web, worker, release and one-off dynos. `slug`: the unpacked tree, '' for a blank app."""
    columns, lines = window
    return JailPlan(
        id=dyno.id,
        hostname=dyno.id,
        uid=wiring.uid,
        lower=((slug or ground.blank, True), (ground.skeleton, False)),
        binds=ground.binds,
        scratch=f"{ground.scratch}/{dyno.id}",
        netns=wiring.netns,
        limits=limits(size, ground.ceiling),
        argv=argv(dyno.command),
        env=env,
        cwd="/app",
        stdio=stdio,
        labels={
            "app": dyno.app,
            "app_name": app_name,
            "name": str(dyno.name),
            "type": dyno.name.type,
            "release": f"v{dyno.version}",
            "skeleton": ground.skeleton,
            "netns": wiring.netns,
            "address": wiring.address,
            "address6": wiring.address6,
        },
        columns=columns,
        lines=lines,
    )


def build_plan(
    build: str,
    app: str,
    app_name: str,
    number: int,
    root: str,
    programs: tuple[Bind, ...],
    memory: int,
    disk: int,
    ground: Ground,
    wiring: Wiring,
    stack_env: Mapping[str, str],
) -> JailPlan:
    """A build is a one-off dyno too. `root` (source and cache in; slug, manifest and cache out through pipes) is all it sees of the host."""
    return JailPlan(
        id=build,
        hostname=build,
        uid=wiring.uid,
        lower=((ground.blank, True), (ground.skeleton, False)),
        binds=(
            *ground.binds,
            Bind(root, "/build", idmap=True),
            *programs,
        ),
        scratch=f"{ground.scratch}/{build}",
        netns=wiring.netns,
        limits=_bounded(memory, 2048, 1, disk, ground.ceiling),
        argv=("/usr/bin/python3", "-m", "slugc", "build", "/build", "/tmp/build"),
        env={
            **stack_env,
            "PATH": PATH,
            "HOME": "/app",
            "PYTHONPATH": "/opt/dynod",
            "PYTHONDONTWRITEBYTECODE": "1",
            "DYNO": f"build.{number}",
        },
        cwd="/app",
        stdio=Stdio.PIPE,
        labels={"app": app, "app_name": app_name, "name": f"build.{number}", "type": "build", "release": ""},
    )
