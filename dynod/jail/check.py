"""Which plans the dyno host takes: uids inside the range, sources in known places, nothing left to chance. Pure.

The control plane that sends plans is trusted with apps, not with root: what it sends is checked here all the same, before
anything is made. Where a source really lies (links) is the kernel's word when mounts.py opens it; here are the texts.
"""

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from dynod.model.jail import Bind, JailPlan, JoinPlan, Limits, Stdio

ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
HOSTNAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,61}[A-Za-z0-9])?")
STACK = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
OWN = ("/", "/proc", "/dev", "/tmp", "/sys")  # made for each dyno: nothing is bound over them
SECRET = ("secrets", "host", "ledger.db", "observations.db")  # below STATE and RUN, never shown to a dyno
LAYERS = 8
BINDS = 64
LEAST_DISK, MOST_DISK, DISK_UNIT, LEAST_INODES = 16 * 1024**2, 8 * 1024**4, 4096, 128


class BadPlan(ValueError):
    """`cannot start ...`: why, with the way out."""


@dataclass(frozen=True, slots=True)
class Rules:
    """`roots`: directories, real paths, below which sources may lie; `state` and `run` are among them.

    `operator`: the control plane's uid.
    """

    state: str
    run: str
    allowed: tuple[str, ...]
    uid_first: int
    uid_count: int
    operator: int = 0

    @property
    def roots(self) -> tuple[str, ...]:
        return (self.state, self.run, *self.allowed)


def parse(value: Any) -> JailPlan:
    """Read a plan from JSON; raise BadPlan for whatever is not one, type by type."""
    try:
        plan = JailPlan.from_json(value)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadPlan(f"cannot read a jail plan: {error}") from error
    for whole in (plan, plan.limits, *plan.binds):
        for name, kind in _PLAIN[type(whole)].items():
            if type(getattr(whole, name)) is not kind:
                raise BadPlan(f"cannot start {plan.id!r}: {name} is no {kind.__name__}")
    for name in ("env", "labels"):
        mapping = getattr(plan, name)
        if not isinstance(mapping, Mapping) or not all(
            type(text) is str for pair in mapping.items() for text in pair
        ):
            raise BadPlan(f"cannot start {plan.id!r}: {name} is no table of texts")
    if not all(type(text) is str for text in (*plan.argv, *(path for path, _ in plan.lower))):
        raise BadPlan(f"cannot start {plan.id!r}: argv and lower are texts")
    return plan


_PLAIN: dict[type, dict[str, type]] = {
    kind: {name: hint for name, hint in get_type_hints(kind).items() if hint in (str, int, bool)}
    for kind in (JailPlan, Limits, Bind)
}


def check(plan: JailPlan, rules: Rules) -> None:
    """Raise BadPlan unless the plan may run here."""
    for problem in _problems(plan, rules):
        raise BadPlan(f"cannot start {plan.id}: {problem}")


def parse_join(value: Mapping[str, Any]) -> JoinPlan:
    """Read what `exec` asks for; raise BadPlan unless it may run in a dyno."""
    wanted = get_type_hints(JoinPlan)
    try:
        plan = JoinPlan.from_json({name: value[name] for name in wanted if name in value})
        texts = [plan.id, plan.session, plan.cwd, *plan.argv, *plan.env.keys(), *plan.env.values()]
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise BadPlan(f"cannot read what to run: {error!r}") from error
    if not all(type(text) is str and "\0" not in text for text in texts):
        raise BadPlan("cannot run this: argv, env and cwd are texts without zero bytes")
    for problem in _join_problems(plan):
        raise BadPlan(f"cannot run this in {plan.id[:100]!r}: {problem}")
    return plan


def _join_problems(plan: JoinPlan) -> Iterator[str]:
    if not ID.fullmatch(plan.id) or not ID.fullmatch(plan.session):
        yield "an id is letters, digits, '.', '_' and '-'"
    if not plan.argv or not plan.argv[0]:
        yield "argv is empty"
    if any(not name or "=" in name for name in plan.env):
        yield "its environment has a name that cannot be set"
    if plan.stdio is Stdio.LOG:
        yield "it needs a terminal or pipes"
    if any(type(size) is not int or not 1 <= size <= 10_000 for size in (plan.columns, plan.lines)):
        yield f"a terminal of {plan.columns!r} by {plan.lines!r}"
    if not _clean(plan.cwd):
        yield f"cwd {plan.cwd!r} is not absolute and plain"


def place(path: str, rules: Rules) -> tuple[str, str]:
    """Split a source into the known directory it lies below and the rest; raise BadPlan if there is none."""
    for root in rules.roots:
        if path.startswith(root + "/"):
            return root, path[len(root) + 1 :]
    if path in rules.allowed:
        return path, "."
    for root in STACK:
        if path == root or path.startswith(root + "/"):
            return "/", path[1:]
    raise BadPlan(
        f"{path} is outside the directories that dynos may see; start the dyno host with --allow {path}"
    )


def _problems(plan: JailPlan, rules: Rules) -> Iterator[str]:
    last = rules.uid_first + rules.uid_count - 1
    if not ID.fullmatch(plan.id):
        yield f"an id is letters, digits, '.', '_' and '-', not {plan.id!r}"
    if not HOSTNAME.fullmatch(plan.hostname):
        yield f"{plan.hostname!r} is no host name"
    if not rules.uid_first <= plan.uid <= last or plan.uid <= 0:
        yield f"uid {plan.uid} is outside {rules.uid_first} to {last}"
    if not plan.argv or any("\0" in text for text in plan.argv):
        yield "argv is empty or holds a zero byte"
    for name, value in plan.env.items():
        if not name or "=" in name or "\0" in name + value:
            yield f"the environment variable {name!r} cannot be set"
    if not 1 <= plan.columns <= 10_000 or not 1 <= plan.lines <= 10_000:
        yield f"a terminal of {plan.columns} by {plan.lines}"
    if not _clean(plan.cwd):
        yield f"cwd {plan.cwd!r} is not absolute and plain"
    yield from _limit_problems(plan.limits)
    yield from _source_problems(plan, rules)


def _limit_problems(limits: Limits) -> Iterator[str]:
    if limits.memory < 4 * 1024**2:
        yield f"{limits.memory} bytes of memory are too few to start anything"
    if limits.tasks < 2:
        yield f"{limits.tasks} tasks are too few: init is one"
    if not 1 <= limits.cpu <= 100:
        yield f"cpu x{limits.cpu} is outside 1 to 100"
    if limits.disk and not (LEAST_DISK <= limits.disk <= MOST_DISK and limits.disk % DISK_UNIT == 0):
        yield f"a disk of {limits.disk} bytes is outside {LEAST_DISK} to {MOST_DISK}, or no multiple of {DISK_UNIT}"
    if limits.disk and not LEAST_INODES <= limits.inodes <= limits.disk // DISK_UNIT:
        yield f"{limits.inodes} files on a disk of {limits.disk} bytes are outside {LEAST_INODES} to {limits.disk // DISK_UNIT}"
    if not 16 <= limits.files <= 1024**2:
        yield f"{limits.files} open files are outside 16 to {1024**2}"


def _source_problems(plan: JailPlan, rules: Rules) -> Iterator[str]:
    if not 1 <= len(plan.lower) <= LAYERS or len(plan.binds) > BINDS:
        yield f"{len(plan.lower)} layers and {len(plan.binds)} binds; at least 1 and at most {LAYERS}, and {BINDS}"
    sources = [*(path for path, _ in plan.lower), *(bind.source for bind in plan.binds), plan.scratch]
    for path in sources:
        if not _clean(path):
            yield f"{path!r} is not absolute and plain"
            return
        problem = _hidden(path, rules)
        if problem:
            yield problem
    above, name = posixpath.split(plan.scratch)  # made and removed by root: in a directory of root's alone
    if above != f"{rules.state}/dynos" or not ID.fullmatch(name):
        yield f"scratch {plan.scratch} is outside {rules.state}/dynos"
    for bind in plan.binds:
        if not _clean(bind.target) or any(bind.target == own or _within(bind.target, own) for own in OWN[1:]):
            yield f"cannot bind {bind.source} at {bind.target!r}: it is not plain, or made for each dyno"
        if bind.target == "/":
            yield f"cannot bind {bind.source} at /: layers go there"
        if (bind.writable or bind.idmap) and place(bind.source, rules)[0] == "/":
            yield f"cannot bind {bind.source} writable or idmapped: it is the machine's own"
    pinned = ("/run/netns", f"{rules.run}/netns")
    if plan.netns and not (_clean(plan.netns) and posixpath.dirname(plan.netns) in pinned):
        yield f"network namespace {plan.netns!r} is neither in /run/netns nor in {rules.run}/netns"


def _hidden(path: str, rules: Rules) -> str:
    try:
        root, rest = place(path, rules)
    except BadPlan as error:
        return str(error)
    if root in (rules.state, rules.run) and rest.split("/")[0] in SECRET:
        return f"{path} is never shown to a dyno"
    return ""


def _clean(path: str) -> bool:
    parts = path.split("/")
    return path == "/" or (
        path.startswith("/") and all(part not in ("", ".", "..") for part in parts[1:]) and "\0" not in path
    )


def _within(path: str, directory: str) -> bool:
    return path.startswith(directory + "/")
