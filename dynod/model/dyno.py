"""One dyno: its name, its state, how it ended."""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from dynod.model.formation import ProcessType, process_type
from dynod.model.refused import Refusal, Refused

DynoId = NewType("DynoId", str)  # a uuid; two live dynos may share a name, never an id


class DynoState(StrEnum):
    """What the API and the log call it (HEROKU.md 1.1)."""

    STARTING = "starting"
    UP = "up"
    CRASHED = "crashed"
    IDLE = "idle"
    DOWN = "down"
    COMPLETE = "complete"


_DYNO_NAME = re.compile(r"([-\w]{1,128})\.([0-9]{1,6})", re.ASCII)


@dataclass(frozen=True, slots=True, order=True)
class DynoName:
    """`web.1`: the process type and a number."""

    type: ProcessType
    number: int

    def __str__(self) -> str:
        return f"{self.type}.{self.number}"


def dyno_name(text: str) -> DynoName:
    """Read `web.1`; raise Refused(INVALID)."""
    found = _DYNO_NAME.fullmatch(text)
    if found is None:
        raise Refused(Refusal.INVALID, f"cannot read {text!r} as a dyno's name: it should look like web.1")
    return DynoName(process_type(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True)
class Exit:
    """`status` as a shell shows it: the exit code, or 128 + signal (137 is SIGKILL)."""

    status: int


# signal(7) on Linux; the module `signal` is the running machine's, these words are for a dyno's.
_SIGNALS = (  # noqa: SIM905  # thirty-one quoted words read worse
    "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP TSTP TTIN TTOU "
    "URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS"
).split()
_WORDS = {126: "its command cannot be executed", 127: "its command was not found"}


def exit_words(status: int) -> str:
    """`exited with status 1`; by 128 + a signal's number it says `ended by SIGKILL (status 137)`."""
    if 128 < status <= 128 + len(_SIGNALS):
        return f"ended by SIG{_SIGNALS[status - 129]} (status {status})"
    more = f": {_WORDS[status]}" if status in _WORDS else ""
    return f"exited with status {status}{more}"


@dataclass(frozen=True, slots=True)
class DynoView:
    """A dyno as lists show it. `updated_at`: when it entered `state`."""

    id: DynoId
    name: DynoName
    state: DynoState
    size: str
    command: str
    release: int
    release_id: str
    created_at: float
    updated_at: float
