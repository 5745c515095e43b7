"""One app's live dynos: what there should be, what there is, and what follows from each event.

A slot is a name of the formation (`web.1`) with the dyno that bears it now; a dyno that was told to stop lives on beside its
successor until it has ended. Every function takes a Fleet and returns the next one with the effects, in order.
What one dyno does with an event is core/lifecycle.py's; who calls this and when is engine/app_loop.py's.

A restart follows Heroku's order of 2026 (HEROKU.md 1.2): the new dyno is started first, then the old one is told to stop.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from dynod.core.backoff import crashes_after, wait_before_retry
from dynod.core.cycling import cycle_at
from dynod.core.effects import Effect, Note, Reap, Say, Signal, WatchPort
from dynod.core.environ import expanded
from dynod.core.lifecycle import (
    SIGKILL,
    SIGTERM,
    DeadlinePassed,
    Dyno,
    Event,
    Exited,
    Kind,
    LaunchFailed,
    Now,
    Phase,
    StopAsked,
    begin,
    step,
)
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, DynoName, DynoState, Exit
from dynod.model.formation import Formation


@dataclass(frozen=True, slots=True)
class Draw:
    """Chance and ids, drawn by the caller: `cycle` in [0, 1), `port` 4 or 5 digits, `number` 1000 to 9999."""

    new_id: Callable[[], str]
    cycle: Callable[[], float]
    port: Callable[[], int]
    number: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Desired:
    """The formation that should run, and of which release; no rows when nothing is deployed."""

    app: AppId
    release: str = ""
    version: int = 0
    rows: tuple[Formation, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    boot_timeout: float = 60.0
    stop_grace: float = 30.0


@dataclass(frozen=True, slots=True)
class Slot:
    """`retry`: mono time of the next try after a crash that has to wait."""

    dyno: DynoId
    crashes: int = 0
    retry: float | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    dynos: Mapping[DynoId, Dyno] = field(default_factory=dict)
    slots: Mapping[DynoName, Slot] = field(default_factory=dict)

    def current(self, name: DynoName) -> Dyno | None:
        """The dyno that bears a formation name now."""
        slot = self.slots.get(name)
        return None if slot is None else self.dynos[slot.dyno]

    def shown(self) -> tuple[Dyno, ...]:
        """What `ps` lists: each formation name once, and the one-offs."""
        formation = tuple(self.dynos[slot.dyno] for _, slot in sorted(self.slots.items()))
        return formation + tuple(dyno for dyno in self.dynos.values() if dyno.kind is Kind.ONE_OFF)


Outcome = tuple[Fleet, tuple[Effect, ...]]


def _with_dyno(fleet: Fleet, dyno: Dyno) -> Fleet:
    return replace(fleet, dynos={**fleet.dynos, dyno.id: dyno})


def _with_slot(fleet: Fleet, name: DynoName, slot: Slot) -> Fleet:
    return replace(fleet, slots={**fleet.slots, name: slot})


def _without_dyno(fleet: Fleet, dyno: DynoId) -> Fleet:
    return replace(fleet, dynos={key: value for key, value in fleet.dynos.items() if key != dyno})


def _without_slot(fleet: Fleet, name: DynoName) -> Fleet:
    return replace(fleet, slots={key: value for key, value in fleet.slots.items() if key != name})


def _names(desired: Desired) -> dict[DynoName, Formation]:
    return {DynoName(row.type, number): row for row in desired.rows for number in range(1, row.quantity + 1)}


def _fits(dyno: Dyno, desired: Desired, row: Formation) -> bool:
    same = dyno.release == desired.release and dyno.size == row.size.name and dyno.command == row.command
    return same and dyno.phase not in {Phase.STOPPING, Phase.FAILING}


def _new(desired: Desired, name: DynoName, row: Formation, now: Now, draw: Draw) -> Dyno:
    port = draw.port()
    return Dyno(
        id=DynoId(draw.new_id()),
        app=desired.app,
        name=name,
        kind=Kind.FORMATION,
        release=desired.release,
        version=desired.version,
        size=row.size.name,
        command=row.command,
        said=expanded(row.command, {**desired.config, "PORT": str(port)}),
        port=port,
        created=now.wall,
        entered=now.wall,
        launched=now.mono,
        cycle=cycle_at(now.mono, draw.cycle()),
        boot_timeout=desired.boot_timeout,
        stop_grace=desired.stop_grace,
    )


def _apply(fleet: Fleet, dyno: Dyno, event: Event, now: Now) -> Outcome:
    after, effects = step(dyno, event, now)
    slot = fleet.slots.get(after.name)
    bears = slot is not None and slot.dyno == after.id
    if after.phase is Phase.ENDED and not bears:
        return _without_dyno(fleet, after.id), effects
    return _with_dyno(fleet, after), effects


def _stop(fleet: Fleet, dyno: Dyno, why: str, now: Now, *, replaced: bool) -> Outcome:
    if dyno.phase is Phase.ENDED:
        return _without_dyno(fleet, dyno.id), ()
    return _apply(fleet, dyno, StopAsked(why, replaced=replaced), now)


def _start(
    fleet: Fleet,
    desired: Desired,
    name: DynoName,
    row: Formation,
    why: str,
    now: Now,
    draw: Draw,
    crashes: int = 0,
) -> Outcome:
    """Put a new dyno on a name; the one that bore it, if it lives, is told to stop afterwards."""
    old = fleet.current(name)
    new = _new(desired, name, row, now, draw)
    fleet = _with_slot(_with_dyno(fleet, new), name, Slot(new.id, crashes))
    if old is None:
        return fleet, begin(new, why)
    line = Say(name, f"State changed from {old.shown} to {DynoState.STARTING}")
    changed = () if old.shown is DynoState.STARTING else (line,)
    fleet, stopping = _stop(fleet, old, why, now, replaced=True)
    return fleet, (*changed, *begin(new, why), *stopping)


def reconcile(fleet: Fleet, desired: Desired, why: str, now: Now, draw: Draw) -> Outcome:
    """Make the fleet what is desired: start what is missing, replace what is of another release, stop what is too much."""
    effects: list[Effect] = []
    wanted = _names(desired)
    for name in sorted(set(fleet.slots) - set(wanted), reverse=True):
        dyno = fleet.dynos[fleet.slots[name].dyno]
        if dyno.phase is Phase.ENDED:
            fleet = _without_dyno(_without_slot(fleet, name), dyno.id)
            effects.append(Say(name, f"State changed from {dyno.shown} to {DynoState.DOWN}"))
        else:
            fleet, more = _stop(fleet, dyno, why, now, replaced=False)
            effects += more
    for name, row in wanted.items():
        bearer = fleet.current(name)
        if bearer is not None and (_fits(bearer, desired, row)):
            continue
        said = () if bearer is None or bearer.phase is Phase.STOPPING else (Say(name, "Restarting"),)
        fleet, more = _start(fleet, desired, name, row, why, now, draw)
        effects += (*said, *more)
    return fleet, tuple(effects)


def restart(
    fleet: Fleet,
    desired: Desired,
    names: Iterable[DynoName],
    why: str,
    now: Now,
    draw: Draw,
    said: str = "Restarting",
) -> Outcome:
    """Replace these dynos of the formation, whatever state they are in; the crash count is forgotten."""
    effects: list[Effect] = []
    wanted = _names(desired)
    for name in names:
        if name in wanted and name in fleet.slots:
            fleet, more = _start(fleet, desired, name, wanted[name], why, now, draw)
            effects += (Say(name, said), *more)
    return fleet, tuple(effects)


def _after_crash(fleet: Fleet, desired: Desired, dyno: Dyno, now: Now, draw: Draw) -> Outcome:
    row = _names(desired).get(dyno.name)
    if row is None:
        return _without_dyno(_without_slot(fleet, dyno.name), dyno.id), ()
    crashes = crashes_after(fleet.slots[dyno.name].crashes, now.mono - dyno.launched)
    wait = wait_before_retry(crashes)
    if wait == 0.0:
        return _start(fleet, desired, dyno.name, row, "it crashed", now, draw, crashes)
    return _with_slot(fleet, dyno.name, Slot(dyno.id, crashes, now.mono + wait)), ()


def happened(fleet: Fleet, desired: Desired, dyno_id: DynoId, event: Event, now: Now, draw: Draw) -> Outcome:
    """Take one event of one dyno; an event for a dyno that is no more is old news and changes nothing."""
    dyno = fleet.dynos.get(dyno_id)
    if dyno is None or dyno.phase is Phase.ENDED:
        return fleet, ()
    fleet, effects = _apply(fleet, dyno, event, now)
    after = fleet.dynos.get(dyno_id)
    if after is None or after.phase is not Phase.ENDED:
        return fleet, effects
    if after.shown is DynoState.DOWN:
        fleet = _without_dyno(_without_slot(fleet, after.name), after.id)
        if after.name in (wanted := _names(desired)):  # scaled down and up again meanwhile
            fleet, more = _start(
                fleet, desired, after.name, wanted[after.name], "it is wanted again", now, draw
            )
            return fleet, (*effects, *more)
        return fleet, effects
    fleet, more = _after_crash(fleet, desired, after, now, draw)
    return fleet, (*effects, *more)


def lost(fleet: Fleet, desired: Desired, dyno_id: DynoId, now: Now, draw: Draw) -> Outcome:
    """Take note that a dyno is not among the living, and that nobody saw how it ended: a reboot, say.

    It is no crash, so nothing is counted and nothing waits; a dyno of the formation is started anew at once.
    """
    dyno = fleet.dynos.get(dyno_id)
    if dyno is None or dyno.phase is Phase.ENDED:
        return fleet, ()
    if dyno.kind is Kind.ONE_OFF:
        event = LaunchFailed(f"cannot start {dyno.name}: the dyno host was restarted meanwhile")
        gone: Event = event if dyno.phase is Phase.LAUNCHING else Exited(Exit(128 + SIGKILL))
        return happened(fleet, desired, dyno_id, gone, now, draw)
    noted = (Note(dyno.id, dyno.name, "lost", "the machine or the dyno host was restarted"), Reap(dyno.id))
    slot = fleet.slots.get(dyno.name)
    if slot is None or slot.dyno != dyno.id:
        return _without_dyno(fleet, dyno.id), noted
    row = _names(desired).get(dyno.name)
    if row is None:
        return _without_dyno(_without_slot(fleet, dyno.name), dyno.id), noted
    fleet = _with_dyno(fleet, replace(dyno, phase=Phase.ENDED))
    fleet, effects = _start(
        fleet, desired, dyno.name, row, "its processes were gone", now, draw, slot.crashes
    )
    return fleet, (*noted, *effects)


def resumed(fleet: Fleet) -> tuple[Effect, ...]:
    """What has to be asked for again when the one who asked was killed: signals that may not have been sent, ports to watch."""
    effects: list[Effect] = []
    for dyno in fleet.dynos.values():
        match dyno.phase:
            case Phase.STARTING:
                effects.append(WatchPort(dyno.id))
            case Phase.STOPPING:
                effects.append(Signal(dyno.id, SIGKILL if dyno.killed else SIGTERM))
            case Phase.FAILING:
                effects.append(Signal(dyno.id, SIGKILL))
            case _:
                pass
    return tuple(effects)


def tick(fleet: Fleet, desired: Desired, now: Now, draw: Draw) -> Outcome:
    """Do what time has brought: passed deadlines, retries after crashes, daily cycling."""
    effects: list[Effect] = []
    for dyno in tuple(fleet.dynos.values()):
        if dyno.deadline is not None and dyno.deadline <= now.mono:
            fleet, more = happened(fleet, desired, dyno.id, DeadlinePassed(), now, draw)
            effects += more
    wanted = _names(desired)
    for name, slot in tuple(fleet.slots.items()):
        if name not in wanted:
            continue
        if slot.retry is not None and slot.retry <= now.mono:
            fleet, more = _start(
                fleet, desired, name, wanted[name], "it crashed and has waited", now, draw, slot.crashes
            )
            effects += more
        elif slot.retry is None and fleet.dynos[slot.dyno].cycle <= now.mono:
            fleet, more = restart(fleet, desired, (name,), "its day is over", now, draw, "Cycling")
            effects += more
    for dyno in tuple(fleet.dynos.values()):
        if dyno.kind is Kind.ONE_OFF and dyno.cycle <= now.mono and dyno.phase in {Phase.STARTING, Phase.UP}:
            fleet, more = _stop(fleet, dyno, "its day is over", now, replaced=False)
            effects += (Say(dyno.name, "Cycling"), *more)
    return fleet, tuple(effects)


def next_deadline(fleet: Fleet) -> float | None:
    """When `tick` has something to do, in mono time."""
    times = [dyno.deadline for dyno in fleet.dynos.values() if dyno.deadline is not None]
    times += [slot.retry for slot in fleet.slots.values() if slot.retry is not None]
    times += [
        dyno.cycle
        for dyno in fleet.dynos.values()
        if dyno.phase in {Phase.LAUNCHING, Phase.STARTING, Phase.UP}
    ]
    return min(times, default=None)


def start_one_off(fleet: Fleet, dyno: Dyno, why: str) -> Outcome:
    """Add a one-off; it is nobody's slot and is gone when it ends."""
    return _with_dyno(fleet, dyno), begin(dyno, why)


def stop_dyno(fleet: Fleet, dyno: Dyno, why: str, now: Now, signal: int) -> Outcome:
    """Tell one dyno to stop for good (a one-off)."""
    if dyno.phase is Phase.ENDED:
        return fleet, ()
    return _apply(fleet, dyno, StopAsked(why, signal=signal), now)
