"""One dyno's life: `step(dyno, event, now)` says what an event does to it. The table below is the program.

A dyno here is one run of processes with an id of its own; during a restart two of them bear the name `web.1`, the new one
and the one that was told to stop. Which dynos there should be is core/reconcile.py's business; how they start is the host's.
What can happen are core/events.py's values, what follows core/effects.py's. State lines and their order are Heroku's (HEROKU.md 1.2).
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import assert_never

from dynod.core import quota
from dynod.core.effects import (
    SIGHUP,
    SIGKILL,
    SIGTERM,
    Boot,
    Died,
    Effect,
    Ended,
    Freeze,
    Note,
    Reap,
    Say,
    Signal,
    Thaw,
    WatchPort,
)
from dynod.core.events import (
    DeadlinePassed,
    Event,
    Exited,
    FreezeAsked,
    HungUp,
    Launched,
    LaunchFailed,
    MemoryVastlyExceeded,
    PortBound,
    SleepAsked,
    StopAsked,
    ThawAsked,
)
from dynod.model.app import AppId
from dynod.model.codes import RCode
from dynod.model.dyno import DynoId, DynoName, DynoState, Exit, exit_words
from dynod.model.formation import WEB, quota_of

LAUNCH_FAILED = 255
STOPPING = "Stopping all processes with SIGTERM"
HANGING_UP = "Client connection closed. Sending SIGHUP to all processes"
HANGUPS, HANGUP_PAUSE = 3, 5.0  # how often, and seconds between (HEROKU.md 1.2, row "one-off closed")


class Kind(StrEnum):
    """What a dyno is for, which decides what its end means."""

    FORMATION = "formation"  # any end is a crash
    ONE_OFF = "one_off"  # any end is `complete`


class Phase(StrEnum):
    LAUNCHING = "launching"  # the dyno host was asked
    STARTING = "starting"  # launched, $PORT does not accept yet
    UP = "up"
    STOPPING = "stopping"  # SIGTERM was sent
    FAILING = "failing"  # SIGKILL was sent for a fault of its own
    ENDED = "ended"
    FROZEN = "frozen"  # asleep with all its processes


@dataclass(frozen=True, slots=True)
class Now:
    """`mono`: seconds since boot, suspend included (CLOCK_BOOTTIME), for deadlines; `wall`: epoch seconds, for people."""

    mono: float
    wall: float


@dataclass(frozen=True, slots=True)
class Dyno:
    """`deadline`: mono time of its one deadline. `outcome` stands once it ENDED. `entered`: wall time of `shown`."""

    id: DynoId
    app: AppId
    name: DynoName
    kind: Kind
    release: str
    version: int
    size: str
    command: str
    port: int
    created: float
    entered: float
    launched: float  # mono
    cycle: float  # mono, when it is cycled
    phase: Phase = Phase.LAUNCHING
    shown: DynoState = DynoState.STARTING
    deadline: float | None = None
    replaced: bool = False  # another dyno took over its name: its end changes no state
    killed: bool = False
    exit: Exit | None = None
    address: str = ""
    boot_timeout: float = 60.0
    stop_grace: float = 30.0
    ttl: float | None = None
    attached: bool = False
    hangups: int = 0  # SIGHUPs it was sent since its client went
    said: str = ""  # the command as the log shows it
    fault: str = ""  # why it was killed, for its history


_L, _S, _U, _T, _F, _E, _Z = Phase
TRANSITIONS: dict[tuple[Phase, type[Event]], Phase] = {
    (_L, Launched): _S,  # web; every other type is up at once, HEROKU.md 1.1
    (_L, LaunchFailed): _E,
    (_L, HungUp): _T,
    (_L, StopAsked): _T,  # SIGTERM follows as soon as there is somebody to get it
    (_S, PortBound): _U,
    (_S, Exited): _E,
    (_S, StopAsked): _T,
    (_S, DeadlinePassed): _F,  # R10
    (_S, MemoryVastlyExceeded): _F,  # R15
    (_U, Exited): _E,
    (_U, StopAsked): _T,
    (_U, HungUp): _U,  # SIGHUP is a request: who does not heed it lives on, detached (R16)
    (_U, DeadlinePassed): _T,  # time_to_live of a one-off; after a hang-up it stays where it is
    (_U, MemoryVastlyExceeded): _F,  # R15
    (_T, Launched): _T,
    (_T, LaunchFailed): _E,
    (_T, StopAsked): _T,
    (_T, HungUp): _T,
    (_T, PortBound): _T,
    (_T, DeadlinePassed): _T,  # R12
    (_T, Exited): _E,
    (_T, MemoryVastlyExceeded): _T,  # it goes anyway
    (_F, Exited): _E,
    (_F, StopAsked): _F,
    (_F, HungUp): _F,
    (_F, PortBound): _F,
    (_F, MemoryVastlyExceeded): _F,
    (_U, SleepAsked): _T,
    (_U, FreezeAsked): _Z,
    (_E, SleepAsked): _E,  # crashed: it is not tried again meanwhile
    (_E, FreezeAsked): _E,
    (_Z, ThawAsked): _U,
    (_Z, StopAsked): _T,
    (_Z, Exited): _E,  # killed as it was; asleep it stays
    (_Z, MemoryVastlyExceeded): _F,
}


class IllegalEvent(Exception):
    """What cannot happen to a dyno in its phase; nothing was changed."""


def is_web(dyno: Dyno) -> bool:
    """Only a formation's `web` gets requests, so only it must bind $PORT."""
    return dyno.name.type == WEB and dyno.kind is Kind.FORMATION


def asleep(dyno: Dyno) -> bool:
    """Whether it sleeps, or is being stopped for that."""
    return dyno.shown is DynoState.IDLE


def change_line(dyno: Dyno, to: DynoState) -> Say:
    """`State changed from up to down`; in the log `idle` is `down` (HEROKU.md 1.1)."""
    was, becomes = (DynoState.DOWN if each is DynoState.IDLE else each for each in (dyno.shown, to))
    return Say(dyno.name, f"State changed from {was} to {becomes}")


def _state_line(dyno: Dyno, to: DynoState) -> tuple[Effect, ...]:
    return (change_line(dyno, to),)


def _up(dyno: Dyno, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    deadline = None if dyno.ttl is None else now.mono + dyno.ttl
    after = replace(dyno, phase=Phase.UP, shown=DynoState.UP, entered=now.wall, deadline=deadline)
    return after, _state_line(dyno, DynoState.UP)


def _launched(dyno: Dyno, event: Launched, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    dyno = replace(dyno, address=event.address, launched=now.mono)
    if dyno.phase is Phase.STOPPING:
        stopping = Say(dyno.name, STOPPING), Signal(dyno.id, SIGTERM)
        return replace(dyno, deadline=now.mono + dyno.stop_grace), stopping
    if is_web(dyno):
        after = replace(dyno, phase=Phase.STARTING, deadline=now.mono + dyno.boot_timeout)
        return after, (WatchPort(dyno.id),)
    return _up(dyno, now)


def _ended(
    dyno: Dyno, event: Exited, now: Now, before: tuple[Effect, ...], cause: str
) -> tuple[Dyno, tuple[Effect, ...]]:
    if dyno.kind is Kind.ONE_OFF:
        state = DynoState.COMPLETE
    elif asleep(dyno):
        state = DynoState.IDLE
    elif dyno.phase is Phase.STOPPING:
        state = DynoState.DOWN
    else:
        state = DynoState.CRASHED
    after = replace(dyno, phase=Phase.ENDED, shown=state, entered=now.wall, deadline=None, exit=event.exit)
    line = () if dyno.replaced or asleep(dyno) else _state_line(dyno, state)
    told = (Ended(dyno.id, event.exit.status),) if dyno.kind is Kind.ONE_OFF else ()
    cause = f"{dyno.fault}; {cause}" if dyno.fault else cause
    note = Note(dyno.id, dyno.name, str(state), cause)
    return after, (*before, *line, note, _died(after, event, cause, now), Reap(dyno.id), *told)


def _died(dyno: Dyno, event: Exited, cause: str, now: Now) -> Died:
    return Died(
        dyno.id,
        dyno.name,
        dyno.shown,
        event.exit.status,
        cause,
        event.peak,
        dyno.version,
        dyno.size,
        dyno.command,
        dyno.created,
        now.wall,
        event.tally,
    )


def _exited(dyno: Dyno, event: Exited, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    """Its main command is over. A kernel that killed at the ceiling did what R15 would have done a moment later."""
    before: tuple[Effect, ...] = ()
    cause = exit_words(event.exit.status)
    if event.oom and dyno.phase in {Phase.STARTING, Phase.UP}:
        bytes_ = quota_of(dyno.size)
        if bytes_ and event.peak >= quota.vast(bytes_):
            before = tuple(Say(dyno.name, line) for line in quota.r15(event.peak, bytes_))
            dyno = replace(
                dyno, fault=f"{quota.why_r15(event.peak, bytes_)}, and the kernel killed it at its limit"
            )
        else:
            before = (Say(dyno.name, "The machine ran out of memory and the kernel killed the dyno"),)
            dyno = replace(dyno, fault="the machine ran out of memory and the kernel killed it")
    said = Say(dyno.name, f"Process exited with status {event.exit.status}")
    return _ended(dyno, event, now, (*before, said), cause)


def _vast(dyno: Dyno, used: int) -> tuple[Dyno, tuple[Effect, ...]]:
    """R15: over twice its quota."""
    if dyno.phase in {Phase.STOPPING, Phase.FAILING}:
        return dyno, ()
    bytes_ = quota_of(dyno.size)
    fault = quota.why_r15(used, bytes_)
    after = replace(dyno, phase=Phase.FAILING, deadline=None, killed=True, fault=fault)
    says = (Say(dyno.name, line) for line in quota.r15(used, bytes_))
    return after, (*says, Signal(dyno.id, SIGKILL))


def _stop(dyno: Dyno, event: StopAsked, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    replaced = dyno.replaced or event.replaced
    if dyno.phase is Phase.STOPPING:
        return replace(dyno, replaced=replaced), ()
    note = Note(dyno.id, dyno.name, "stopping", event.why)
    after = replace(dyno, phase=Phase.STOPPING, deadline=now.mono + dyno.stop_grace, replaced=replaced)
    if dyno.phase is Phase.LAUNCHING:
        return replace(after, deadline=None), (note,)
    thaw = (Thaw(dyno.id),) if dyno.phase is Phase.FROZEN else ()
    return after, (note, *thaw, Say(dyno.name, STOPPING), Signal(dyno.id, event.signal))


def _sleep(dyno: Dyno, why: str, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    """The log says `down` before the SIGTERM, unlike with any other stop (HEROKU.md 1.2)."""
    says = _idling(dyno)
    dyno = replace(dyno, shown=DynoState.IDLE, entered=now.wall)
    if dyno.phase is Phase.ENDED:
        return dyno, says
    after, stopping = _stop(dyno, StopAsked(why), now)
    return after, (*says, *stopping)


def _idling(dyno: Dyno) -> tuple[Effect, ...]:
    return (Say(dyno.name, "Idling"), change_line(dyno, DynoState.DOWN))


def _freeze(dyno: Dyno, why: str, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    if dyno.phase is Phase.ENDED:
        return _sleep(dyno, why, now)
    after = replace(dyno, phase=Phase.FROZEN, shown=DynoState.IDLE, entered=now.wall)
    return after, (*_idling(dyno), Note(dyno.id, dyno.name, "frozen", why), Freeze(dyno.id))


def _thaw(dyno: Dyno, why: str, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    after, line = _up(dyno, now)
    unidling, note = Say(dyno.name, "Unidling"), Note(dyno.id, dyno.name, "thawed", why)
    return after, (Thaw(dyno.id), unidling, *line, note)


def _hung_up(dyno: Dyno, event: HungUp, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    why = "its client never came" if event.unclaimed else "its client hung up"
    r13 = (Say(dyno.name, f"Error {RCode.R13.value}"),) if event.unclaimed else ()
    match dyno.phase:
        case Phase.LAUNCHING:
            after, effects = _stop(dyno, StopAsked(why), now)
            return after, (*r13, *effects)
        case Phase.UP if not dyno.hangups:
            after, effects = _sighup(dyno, now)
            return after, (Note(dyno.id, dyno.name, "hung up", why), *(r13 or effects[:1]), *effects[1:])
        case _:
            return dyno, ()


def _sighup(dyno: Dyno, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    """SIGHUP to every process, and again when nothing came of it; at last it is taken for meant, as nohup(1) is."""
    over = None if dyno.ttl is None else dyno.launched + dyno.ttl
    if dyno.hangups == HANGUPS:
        after = replace(dyno, attached=False, deadline=over)
        return after, (Say(dyno.name, f"Error {RCode.R16.value}"),)
    again = now.mono + HANGUP_PAUSE
    after = replace(dyno, hangups=dyno.hangups + 1, deadline=again if over is None else min(again, over))
    return after, (Say(dyno.name, HANGING_UP), Signal(dyno.id, SIGHUP))


def _deadline(dyno: Dyno, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    match dyno.phase:
        case Phase.STARTING:
            text = RCode.R10.value.format(seconds=f"{dyno.boot_timeout:g}")
            fault = f"R10: it did not bind to $PORT within {dyno.boot_timeout:g} seconds"
            after = replace(dyno, phase=Phase.FAILING, deadline=None, killed=True, fault=fault)
            says = (Say(dyno.name, f"Error {text}"), Say(dyno.name, "Stopping process with SIGKILL"))
            return after, (*says, Signal(dyno.id, SIGKILL))
        case Phase.UP if dyno.hangups and (dyno.ttl is None or now.mono < dyno.launched + dyno.ttl):
            return _sighup(dyno, now)
        case Phase.UP:
            return _stop(dyno, StopAsked("its time to live is over"), now)
        case _:
            fault = f"R12: it did not exit within {dyno.stop_grace:g} seconds of SIGTERM"
            after = replace(dyno, deadline=None, killed=True, fault=fault)
            says = (
                Say(dyno.name, f"Error {RCode.R12.value.format(seconds=f'{dyno.stop_grace:g}')}"),
                Say(dyno.name, "Stopping remaining processes with SIGKILL"),
            )
            return after, (*says, Signal(dyno.id, SIGKILL))


def step(dyno: Dyno, event: Event, now: Now) -> tuple[Dyno, tuple[Effect, ...]]:
    """Decide what one event does to one dyno; raise IllegalEvent and change nothing if it cannot happen."""
    if (dyno.phase, type(event)) not in TRANSITIONS:
        raise IllegalEvent(f"{dyno.name} cannot take {event} while {dyno.phase}")
    match event:
        case Launched():
            return _launched(dyno, event, now)
        case LaunchFailed(reason):
            return _ended(dyno, Exited(Exit(LAUNCH_FAILED)), now, (Say(dyno.name, reason),), reason)
        case PortBound():
            return _up(dyno, now) if dyno.phase is Phase.STARTING else (dyno, ())
        case Exited():
            return _exited(dyno, event, now)
        case MemoryVastlyExceeded(used):
            return _vast(dyno, used)
        case StopAsked():
            return (dyno, ()) if dyno.phase is Phase.FAILING else _stop(dyno, event, now)
        case HungUp():
            return _hung_up(dyno, event, now)
        case SleepAsked(why):
            return _sleep(dyno, why, now)
        case FreezeAsked(why):
            return _freeze(dyno, why, now)
        case ThawAsked(why):
            return _thaw(dyno, why, now)
        case DeadlinePassed():
            return _deadline(dyno, now)
        case _:
            assert_never(event)


def begin(dyno: Dyno, why: str) -> tuple[Effect, ...]:
    """What a new dyno needs first; the log names its command before the app's own first line can come."""
    waiting = (Say(dyno.name, "Awaiting client"),) if dyno.attached else ()
    starting = Say(dyno.name, f"Starting process with command `{dyno.said or dyno.command}`")
    return (Note(dyno.id, dyno.name, "starting", why), *waiting, starting, Boot(dyno.id))
