"""What there should be, what there is, and what follows: every function takes a Fleet and returns the next one with its effects.

A restart follows Heroku's order of 2026 (HEROKU.md 1.2): the new dyno is started first, then the old one is told to stop. With
preboot, new web dynos boot while the old ones serve, and traffic changes over once all of them accept (HEROKU.md 2.2); rolling, a
quarter of them is replaced at a time. When that happens, and by whom it is asked, is engine/app_loop.py's business.
"""

import math
from collections.abc import Iterable
from dataclasses import replace

from dynod.core.backoff import crashes_after, wait_before_retry
from dynod.core.cycling import cycle_at
from dynod.core.effects import Effect, Freeze, Note, Reap, Say, Signal, WatchPort
from dynod.core.environ import expanded
from dynod.core.fleet import (
    Desired,
    Draw,
    Fleet,
    Handover,
    Outcome,
    Slot,
    with_dyno,
    with_slot,
    without_dyno,
    without_slot,
)
from dynod.core.lifecycle import (
    SIGKILL,
    SIGTERM,
    DeadlinePassed,
    Dyno,
    Event,
    Exited,
    FreezeAsked,
    Kind,
    LaunchFailed,
    Now,
    Phase,
    SleepAsked,
    StopAsked,
    ThawAsked,
    asleep,
    begin,
    change_line,
    is_web,
    step,
)
from dynod.model.dyno import DynoId, DynoName, DynoState, Exit
from dynod.model.formation import ECO, WEB, Formation

_GOING = {Phase.STOPPING, Phase.FAILING}
_COMING = {Phase.LAUNCHING, Phase.STARTING}


def wanted_names(desired: Desired) -> dict[DynoName, Formation]:
    """The names that there should be, each with its row."""
    return {DynoName(row.type, number): row for row in desired.rows for number in range(1, row.quantity + 1)}


def _fits(dyno: Dyno, desired: Desired, row: Formation) -> bool:
    same = dyno.release == desired.release and dyno.size == row.size.name and dyno.command == row.command
    return same and (dyno.phase not in _GOING or asleep(dyno))


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


# -- one dyno ---------------------------------------------------------------------------------------------------------


def _apply(fleet: Fleet, dyno: Dyno, event: Event, now: Now) -> Outcome:
    after, effects = step(dyno, event, now)
    slot = fleet.slots.get(after.name)
    if after.phase is Phase.ENDED and (slot is None or slot.dyno != after.id):
        return without_dyno(fleet, after.id), effects
    return with_dyno(fleet, after), effects


def _stop(fleet: Fleet, dyno: Dyno, why: str, now: Now, *, replaced: bool) -> Outcome:
    if dyno.phase is Phase.ENDED:
        return without_dyno(fleet, dyno.id), ()
    return _apply(fleet, dyno, StopAsked(why, replaced=replaced), now)


def _stop_next(fleet: Fleet, name: DynoName, why: str, now: Now) -> Outcome:
    slot = fleet.slots[name]
    if slot.next is None:
        return fleet, ()
    fleet = with_slot(fleet, name, replace(slot, next=None))
    return _stop(fleet, fleet.dynos[slot.next], why, now, replaced=True)


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
    if old is None:
        return with_slot(with_dyno(fleet, new), name, Slot(new.id, crashes)), begin(new, why)
    fleet, dropped = _stop_next(fleet, name, why, now)
    fleet = with_slot(with_dyno(fleet, new), name, Slot(new.id, crashes))
    changed = () if old.shown is DynoState.STARTING else (change_line(old, DynoState.STARTING),)
    fleet, stopping = _stop(fleet, old, why, now, replaced=True)
    return fleet, (*changed, *begin(new, why), *stopping, *dropped)


# -- handing over -----------------------------------------------------------------------------------------------------


def _serves(dyno: Dyno | None) -> bool:
    return dyno is not None and dyno.phase is Phase.UP and is_web(dyno)


def _boot_beside(
    fleet: Fleet, desired: Desired, name: DynoName, row: Formation, why: str, now: Now, draw: Draw
) -> Outcome:
    """Boot the successor of a web dyno that goes on serving; one that boots already and fits is let be."""
    slot = fleet.slots[name]
    if slot.next is not None and _fits(fleet.dynos[slot.next], desired, row):
        return fleet, ()
    fleet, dropped = _stop_next(fleet, name, why, now)
    new = _new(desired, name, row, now, draw)
    crashes = slot.crashes if slot.retry is not None else 0
    fleet = with_slot(with_dyno(fleet, new), name, Slot(slot.dyno, crashes, stale=slot.stale, next=new.id))
    return fleet, (*begin(new, why), *dropped)


def _replace(
    fleet: Fleet, desired: Desired, name: DynoName, row: Formation, why: str, now: Now, draw: Draw, said: str
) -> Outcome:
    """Replace what bears a name in the way that is asked for; a dyno that does not serve has nothing to hand over."""
    bearer = fleet.current(name)
    if desired.handover is Handover.PREBOOT and _serves(bearer):
        if (
            (retry := fleet.slots[name].retry) is not None
            and retry > now.mono
            and _same_try(fleet, desired, name)
        ):
            return fleet, ()
        fleet, effects = _boot_beside(fleet, desired, name, row, why, now, draw)
        return fleet, ((Say(name, said), *effects) if effects else ())
    told = () if bearer is None or bearer.phase is Phase.STOPPING else (Say(name, said),)
    if bearer is not None and asleep(bearer):
        told = (Say(name, "Unidling"),)
    fleet, effects = _start(fleet, desired, name, row, why, now, draw)
    return fleet, (*told, *effects)


def _same_try(fleet: Fleet, desired: Desired, name: DynoName) -> bool:
    """Whether the successor that crashed was of the release that is still desired; a newer one is tried at once."""
    return fleet.slots[name].crashed == desired.release


def _promote(fleet: Fleet, why: str, now: Now) -> Outcome:
    """Change traffic over once every successor accepts; then the old ones are told to stop."""
    nexts = [(name, slot) for name, slot in sorted(fleet.slots.items()) if slot.next is not None]
    if not nexts or any(fleet.dynos[slot.next].phase is not Phase.UP for _, slot in nexts if slot.next):
        return fleet, ()
    old = []
    for name, slot in nexts:
        assert slot.next is not None
        old.append(fleet.dynos[slot.dyno])
        fleet = with_slot(fleet, name, Slot(slot.next))
    effects: list[Effect] = []
    for dyno in old:
        fleet, more = _stop(fleet, dyno, why, now, replaced=True)
        effects += more
    return fleet, tuple(effects)


def _room(fleet: Fleet, desired: Desired, name: DynoName) -> bool:
    """Whether one more web dyno may be taken out of service now."""
    if desired.handover is not Handover.ROLLING or name.type != WEB or not _serves(fleet.current(name)):
        return True
    webs = [fleet.dynos[slot.dyno] for each, slot in fleet.slots.items() if each.type == WEB]
    away = sum(dyno.phase in _COMING for dyno in webs)
    return away < math.ceil(len(webs) / 4)


# -- the whole fleet --------------------------------------------------------------------------------------------------


def _dismiss(fleet: Fleet, name: DynoName, why: str, now: Now) -> Outcome:
    """Stop what bears a name that is not wanted any more."""
    fleet, dropped = _stop_next(fleet, name, why, now)
    dyno = fleet.dynos[fleet.slots[name].dyno]
    if dyno.phase is Phase.ENDED:
        line = () if asleep(dyno) else (change_line(dyno, DynoState.DOWN),)
        return without_dyno(without_slot(fleet, name), dyno.id), (*dropped, *line)
    fleet, effects = _stop(fleet, dyno, why, now, replaced=False)
    return fleet, (*dropped, *effects)


def reconcile(
    fleet: Fleet, desired: Desired, why: str, now: Now, draw: Draw, said: str = "Restarting"
) -> Outcome:
    """Make the fleet what is desired: start what is missing, replace what is of another release, stop what is too much."""
    effects: list[Effect] = []
    wanted = wanted_names(desired)
    for name in sorted(set(fleet.slots) - set(wanted), reverse=True):
        fleet, more = _dismiss(fleet, name, why, now)
        effects += more
    for name, row in wanted.items():
        bearer = fleet.current(name)
        if desired.habit.spent and row.size == ECO:
            continue  # what runs of it is about to sleep, what is new waits for the next month
        if bearer is not None and _fits(bearer, desired, row) and not fleet.slots[name].stale:
            fleet, more = _stop_next(fleet, name, why, now)
        elif _room(fleet, desired, name):
            fleet, more = _replace(fleet, desired, name, row, why, now, draw, said)
        else:
            more = ()
        effects += more
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
    for name in names:
        if name in fleet.slots:
            fleet, dropped = _stop_next(fleet, name, why, now)
            fleet = with_slot(fleet, name, Slot(fleet.slots[name].dyno, stale=True))
            effects += dropped
    fleet, more = reconcile(fleet, desired, why, now, draw, said)
    return fleet, (*effects, *more)


def _after_crash(fleet: Fleet, desired: Desired, dyno: Dyno, now: Now, draw: Draw) -> Outcome:
    slot = fleet.slots[dyno.name]
    if slot.next is not None:  # its successor is on the way already
        return without_dyno(with_slot(fleet, dyno.name, Slot(slot.next)), dyno.id), ()
    row = wanted_names(desired).get(dyno.name)
    if row is None:
        return without_dyno(without_slot(fleet, dyno.name), dyno.id), ()
    crashes = crashes_after(slot.crashes, now.mono - dyno.launched)
    wait = wait_before_retry(crashes)
    if wait == 0.0:
        return _start(fleet, desired, dyno.name, row, "it crashed", now, draw, crashes)
    return with_slot(fleet, dyno.name, Slot(dyno.id, crashes, now.mono + wait)), ()


def _after_next_crash(fleet: Fleet, desired: Desired, dyno: Dyno, now: Now, draw: Draw) -> Outcome:
    """The successor of a dyno that serves has crashed: the old one serves on, the new one is tried again, later each time."""
    slot = fleet.slots[dyno.name]
    crashes = crashes_after(slot.crashes, now.mono - dyno.launched)
    wait = wait_before_retry(crashes)
    row = wanted_names(desired).get(dyno.name)
    fleet = with_slot(
        fleet, dyno.name, Slot(slot.dyno, crashes, now.mono + wait, stale=slot.stale, crashed=dyno.release)
    )
    if row is None or wait > 0.0:
        return fleet, ()
    return _boot_beside(fleet, desired, dyno.name, row, "it crashed", now, draw)


def happened(fleet: Fleet, desired: Desired, dyno_id: DynoId, event: Event, now: Now, draw: Draw) -> Outcome:
    """Take one event of one dyno; an event for a dyno that is no more is old news and changes nothing."""
    dyno = fleet.dynos.get(dyno_id)
    if dyno is None or dyno.phase is Phase.ENDED:
        return fleet, ()
    slot = fleet.slots.get(dyno.name)
    succeeds = slot is not None and slot.next == dyno_id
    fleet, effects = _apply(fleet, dyno, event, now)
    after = fleet.dynos.get(dyno_id)
    if succeeds and after is None:
        fleet, more = _after_next_crash(fleet, desired, dyno, now, draw)
    elif after is None:
        return fleet, effects
    elif after.phase is Phase.ENDED:
        fleet, more = _bearer_ended(fleet, desired, after, now, draw)
    elif after.phase is Phase.UP and dyno.phase is not Phase.UP:
        fleet, more = _came_up(fleet, desired, now, draw)
    else:
        return fleet, effects
    return fleet, (*effects, *more)


def _came_up(fleet: Fleet, desired: Desired, now: Now, draw: Draw) -> Outcome:
    if desired.handover is Handover.ROLLING:
        return reconcile(fleet, desired, "the next of a rolling restart", now, draw)
    return _promote(fleet, "its successor is up", now)


def _bearer_ended(fleet: Fleet, desired: Desired, dyno: Dyno, now: Now, draw: Draw) -> Outcome:
    if asleep(dyno) and dyno.name in wanted_names(desired):
        return fleet, ()
    if dyno.shown not in {DynoState.DOWN, DynoState.IDLE}:
        return _after_crash(fleet, desired, dyno, now, draw)
    fleet = without_dyno(without_slot(fleet, dyno.name), dyno.id)
    row = wanted_names(desired).get(dyno.name)
    if row is None:
        return fleet, ()
    return _start(fleet, desired, dyno.name, row, "it is wanted again", now, draw)  # scaled down and up again


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
    if slot is not None and slot.next == dyno_id:
        fleet = with_slot(fleet, dyno.name, replace(slot, next=None))
    if slot is None or slot.dyno != dyno_id:
        return without_dyno(fleet, dyno_id), noted
    row = wanted_names(desired).get(dyno.name)
    if slot.next is not None:
        return without_dyno(with_slot(fleet, dyno.name, Slot(slot.next)), dyno_id), noted
    if row is None:
        return without_dyno(without_slot(fleet, dyno.name), dyno_id), noted
    fleet = with_dyno(fleet, replace(dyno, phase=Phase.ENDED, deadline=None))
    if asleep(dyno):
        return fleet, noted
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
            case Phase.FROZEN:
                effects.append(Freeze(dyno.id))
            case _:
                pass
    return tuple(effects)


# -- time -------------------------------------------------------------------------------------------------------------


def _cycles(fleet: Fleet, dyno: Dyno) -> bool:
    """Whether a dyno's day can end now: not while its successor boots, and not once it is on the way out."""
    slot = fleet.slots.get(dyno.name)
    if dyno.kind is Kind.ONE_OFF:
        return dyno.phase in {Phase.STARTING, Phase.UP}
    if slot is None or slot.dyno != dyno.id:
        return False
    settled = slot.next is None and slot.retry is None and not slot.stale
    return settled and dyno.phase in {*_COMING, Phase.UP, Phase.FROZEN}


def tick(fleet: Fleet, desired: Desired, now: Now, draw: Draw) -> Outcome:
    """Do what time has brought: passed deadlines, retries after crashes, daily cycling."""
    effects: list[Effect] = []
    for dyno in tuple(fleet.dynos.values()):
        if dyno.deadline is not None and dyno.deadline <= now.mono:
            fleet, more = happened(fleet, desired, dyno.id, DeadlinePassed(), now, draw)
            effects += more
    wanted = wanted_names(desired)
    for name, slot in tuple(fleet.slots.items()):
        if slot.retry is not None and slot.retry <= now.mono and name in wanted:
            fleet, more = _retry(fleet, desired, name, wanted[name], now, draw)
            effects += more
    for dyno in tuple(fleet.dynos.values()):
        if dyno.cycle > now.mono or not _cycles(fleet, dyno):
            continue
        if dyno.kind is Kind.ONE_OFF:
            fleet, more = _stop(fleet, dyno, "its day is over", now, replaced=False)
            effects += (Say(dyno.name, "Cycling"), *more)
        else:
            fleet, more = restart(fleet, desired, (dyno.name,), "its day is over", now, draw, "Cycling")
            effects += more
    return fleet, tuple(effects)


def _retry(fleet: Fleet, desired: Desired, name: DynoName, row: Formation, now: Now, draw: Draw) -> Outcome:
    why = "it crashed and has waited"
    if _serves(fleet.current(name)):
        return _boot_beside(fleet, desired, name, row, why, now, draw)
    return _start(fleet, desired, name, row, why, now, draw, fleet.slots[name].crashes)


def next_deadline(fleet: Fleet) -> float | None:
    """When `tick` has something to do, in mono time."""
    times = [dyno.deadline for dyno in fleet.dynos.values() if dyno.deadline is not None]
    times += [slot.retry for slot in fleet.slots.values() if slot.retry is not None]
    times += [dyno.cycle for dyno in fleet.dynos.values() if _cycles(fleet, dyno)]
    return min(times, default=None)


# -- sleep ------------------------------------------------------------------------------------------------------------


def rest(fleet: Fleet, name: DynoName, asked: SleepAsked | FreezeAsked, now: Now) -> Outcome:
    """Put what bears a name to sleep; a crashed one that waits for its next try waits for a request instead."""
    slot = fleet.slots[name]
    fleet = with_slot(fleet, name, Slot(slot.dyno, slot.crashes))
    return _apply(fleet, fleet.dynos[slot.dyno], asked, now)


def rouse(
    fleet: Fleet, desired: Desired, name: DynoName, row: Formation, why: str, now: Now, draw: Draw
) -> Outcome:
    """Thaw what bears a name if it is frozen and still what is wanted, else start it anew; what is awake is let be."""
    bearer = fleet.current(name)
    if bearer is None:
        return _start(fleet, desired, name, row, why, now, draw)
    if not asleep(bearer):
        return fleet, ()
    if bearer.phase is Phase.FROZEN and _fits(bearer, desired, row) and not fleet.slots[name].stale:
        return _apply(fleet, bearer, ThawAsked(why), now)
    return _replace(fleet, desired, name, row, why, now, draw, "Unidling")


# -- one-offs ---------------------------------------------------------------------------------------------------------


def start_one_off(fleet: Fleet, dyno: Dyno, why: str) -> Outcome:
    """Add a one-off; it is nobody's slot and is gone when it ends."""
    return with_dyno(fleet, dyno), begin(dyno, why)


def stop_dyno(fleet: Fleet, dyno: Dyno, why: str, now: Now, signal: int) -> Outcome:
    """Tell one dyno to stop for good (a one-off)."""
    if dyno.phase is Phase.ENDED:
        return fleet, ()
    return _apply(fleet, dyno, StopAsked(why, signal=signal), now)
