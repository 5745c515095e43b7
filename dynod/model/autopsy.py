"""How a dyno came to its end, kept for who asks later: its causes line by line, and what it left."""

from dataclasses import dataclass

from dynod.model.dyno import DynoId
from dynod.model.tally import UNCOUNTED, Tally


@dataclass(frozen=True, slots=True)
class Cause:
    """One start or stop of a dyno. `what`: started, stopping, stopped, crashed, completed, lost, frozen or thawed."""

    at: float
    dyno: DynoId
    name: str
    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Changed:
    """A path inside the dyno that was not so in its slug. `kind`: file, link, deleted or special; `size` in bytes."""

    path: str
    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class Autopsy:
    """`peak`: the most memory it had, in bytes, 0 if unknown. `lines`: the last of the log under its name; `cut`: it had
    changed more files than are listed.
    """

    dyno: DynoId
    name: str
    state: str
    status: int
    cause: str
    peak: int
    release: int
    size: str
    command: str
    created: float
    at: float
    lines: tuple[str, ...] = ()
    files: tuple[Changed, ...] = ()
    cut: bool = False
    tally: Tally = UNCOUNTED
