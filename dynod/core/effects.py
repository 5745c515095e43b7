"""What a decision asks for, as values. engine/perform.py carries them out after the new state is kept."""

from dataclasses import dataclass

from dynod.model.dyno import DynoId, DynoName, DynoState
from dynod.model.tally import UNCOUNTED, Tally

SIGTERM, SIGKILL, SIGHUP = 15, 9, 1


@dataclass(frozen=True, slots=True)
class Boot:
    """Launch this dyno; comes back as Launched or LaunchFailed."""

    dyno: DynoId


@dataclass(frozen=True, slots=True)
class WatchPort:
    """Find out when $PORT accepts; comes back as PortBound."""

    dyno: DynoId


@dataclass(frozen=True, slots=True)
class Signal:
    """Send `signal` (a number, signal(7)) to every process of the dyno."""

    dyno: DynoId
    signal: int


@dataclass(frozen=True, slots=True)
class Freeze:
    """Let no process of the dyno run, and give its memory back where the kernel can, once no router sends it requests."""

    dyno: DynoId


@dataclass(frozen=True, slots=True)
class Thaw:
    """Let the dyno's processes run on."""

    dyno: DynoId


@dataclass(frozen=True, slots=True)
class AskActivity:
    """Have the routers tell at once which apps had requests; comes back as `Active`, if this one had, and then `Quiet`."""


@dataclass(frozen=True, slots=True)
class Reap:
    """The dyno is over: take back its uid, its network namespace and what the dyno host keeps of it."""

    dyno: DynoId


@dataclass(frozen=True, slots=True)
class Say:
    """A line of the dyno manager's: source `heroku`, process `web.1`."""

    name: DynoName
    text: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A one-off came to its end; who waits for its status is told."""

    dyno: DynoId
    status: int


@dataclass(frozen=True, slots=True)
class Died:
    """How a dyno ended, for its autopsy; comes before its Reap. `peak`: the most memory it had, in bytes, 0 if unknown."""

    dyno: DynoId
    name: DynoName
    state: DynoState
    status: int
    cause: str
    peak: int
    release: int
    size: str
    command: str
    created: float
    at: float
    tally: Tally = UNCOUNTED


@dataclass(frozen=True, slots=True)
class Note:
    """An observation for the bounded history: why a dyno started or stopped."""

    dyno: DynoId
    name: DynoName
    what: str
    detail: str


Effect = Boot | WatchPort | Signal | Freeze | Thaw | AskActivity | Reap | Say | Ended | Died | Note
