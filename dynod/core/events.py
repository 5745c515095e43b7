"""What can happen to one dyno, as values: what the machine tells of it, and what is asked of it. core/lifecycle.py says what each does."""

from dataclasses import dataclass

from dynod.core.effects import SIGTERM
from dynod.model.dyno import Exit
from dynod.model.tally import UNCOUNTED, Tally


@dataclass(frozen=True, slots=True)
class Launched:
    """The dyno host runs it; `address` is where its $PORT will be."""

    address: str


@dataclass(frozen=True, slots=True)
class LaunchFailed:
    """It cannot run; `reason` is what its log says of it: `cannot start web.1: ...`, or an R-code's line."""

    reason: str


@dataclass(frozen=True, slots=True)
class PortBound:
    pass


@dataclass(frozen=True, slots=True)
class Exited:
    """`oom`: the kernel killed a process of it for memory; `peak`: the most it had, in bytes."""

    exit: Exit
    oom: bool = False
    peak: int = 0
    tally: Tally = UNCOUNTED


@dataclass(frozen=True, slots=True)
class MemoryVastlyExceeded:
    """It has `used` bytes, twice its quota or more (R15)."""

    used: int


@dataclass(frozen=True, slots=True)
class StopAsked:
    """`replaced`: a new dyno takes its name over, so the name's state does not become `down`."""

    why: str
    replaced: bool = False
    signal: int = SIGTERM


@dataclass(frozen=True, slots=True)
class HungUp:
    """The client of an attached one-off has gone, or (`unclaimed`) it never came (R13)."""

    unclaimed: bool = False


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    pass


@dataclass(frozen=True, slots=True)
class SleepAsked:
    """Nobody has needed it for a while: it is stopped, and bears its name as `idle` until it is started anew."""

    why: str


@dataclass(frozen=True, slots=True)
class FreezeAsked:
    """The same, but its processes are kept."""

    why: str


@dataclass(frozen=True, slots=True)
class ThawAsked:
    why: str


Asked = StopAsked | HungUp | SleepAsked | FreezeAsked | ThawAsked
Event = Launched | LaunchFailed | PortBound | Exited | MemoryVastlyExceeded | DeadlinePassed | Asked
