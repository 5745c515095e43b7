"""What there should be, what there is, and what follows: every function takes a Fleet and returns the next one with its effects.

How one dyno is put in another's place is core/succession.py, what one dyno does with an event core/lifecycle.py. When these are
called, and by whom it is asked, is engine/app_loop.py's business.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace

from dynod.core.backoff import crashes_after, wait_before_relaunch, wait_before_retry
from dynod.core.effects import SIGKILL, SIGTERM, Effect, Freeze, Note, Reap, Say, Signal, WatchPort
from dynod.core.events import (
    DeadlinePassed,
    Event,
    Exited,
    FreezeAsked,
    Launched,
    LaunchFailed,
    SleepAsked,
    StopAsked,
    ThawAsked,
)
from dynod.core.fleet import (
    Desired,
    Draw,
    Fleet,
    Handover,
    Outcome,
    Slot,
    wanted_names,
    with_dyno,
    with_slot,
    without_dyno,
    without_slot,
)
from dynod.core.lifecycle import Dyno, Kind, Now, Phase, asleep, begin, change_line
from dynod.core.succession import (
    COMING,
    boot_beside,
    drop_next,
    fits,
    promote,
    replace_bearer,
    room,
    serves,
    start,
    stop,
    take,
)
from dynod.model.dyno import DynoId, DynoName, DynoState, Exit
from dynod.model.formation import ECO, Formation, ProcessType

# Heroku's words for a host that failed; here the same one is back.
RELOCATING = "Relocating dyno to a new server"
# Why the next one of a name starts; core/why.py adds how the last one ended.
CRASHED, NOT_STARTED = "it crashed", "it could not be started"

# -- the whole fleet --------------------------------------------------------------------------------------------------


def _dismiss(fleet: Fleet, name: DynoName, why: str, now: Now) -> Outcome:
    """Stop what bears a name that is not wanted any more."""
    fleet, dropped = drop_next(fleet, name, why, now)
    dyno = fleet.dynos[fleet.slots[name].dyno]
    if dyno.phase is Phase.ENDED:
        line = () if asleep(dyno) else (change_line(dyno, DynoState.DOWN),)
        return without_dyno(without_slot(fleet, name), dyno.id), (*dropped, *line)
    fleet, effects = stop(fleet, dyno, why, now, replaced=False)
    return fleet, (*dropped, *effects)


def reconcile(
    fleet: Fleet, desired: Desired, why: str, now: Now, draw: Draw, said: str = "Restarting"
) -> Outcome:
    """Make the fleet what is desired: start what is missing, replace what is of another release, stop what is too much.

    One-offs belong to nobody's formation, and end with their app alone.
    """
    effects: list[Effect] = []
    wanted = wanted_names(desired)
    for dyno in tuple(fleet.dynos.values()) if desired.gone else ():
        if dyno.kind is Kind.ONE_OFF:
            fleet, more = stop(fleet, dyno, why, now, replaced=False)
            effects += more
    for name in sorted(set(fleet.slots) - set(wanted), reverse=True):
        fleet, more = _dismiss(fleet, name, why, now)
        effects += more
    for name, row in wanted.items():
        bearer = fleet.current(name)
        if desired.habit.spent and row.size == ECO:
            continue  # what runs of it is about to sleep, what is new waits for the next month
        if bearer is not None and fits(bearer, desired, row) and not fleet.slots[name].stale:
            fleet, more = drop_next(fleet, name, why, now)
        elif room(fleet, desired, name):
            fleet, more = replace_bearer(fleet, desired, name, row, why, now, draw, said)
        else:
            more = ()
        effects += more
    return fleet, tuple(effects)


def rescaled(
    fleet: Fleet, desired: Desired, types: Collection[ProcessType], why: str, now: Now, draw: Draw
) -> Outcome:
    """Reconcile after a scale of these types: what they have crashed is forgotten, and who waits for the next try is tried at once."""
    named = {name: slot for name, slot in fleet.slots.items() if name.type in types}
    for name, slot in named.items():
        fleet = with_slot(fleet, name, replace(slot, crashes=0, failures=0))
    fleet, effects = reconcile(fleet, desired, why, now, draw)
    wanted = wanted_names(desired)
    for name in sorted(named.keys() & wanted.keys()):
        if fleet.slots[name].retry is not None:
            fleet, more = _retry(fleet, desired, name, wanted[name], why, now, draw)
            effects += more
    return fleet, effects


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
            fleet, dropped = drop_next(fleet, name, why, now)
            fleet = with_slot(fleet, name, Slot(fleet.slots[name].dyno, stale=True))
            effects += dropped
    fleet, more = reconcile(fleet, desired, why, now, draw, said)
    return fleet, (*effects, *more)


def _counted(slot: Slot, dyno: Dyno, event: Event, now: Now) -> tuple[Slot, float]:
    """A slot whose dyno, or whose successor, has crashed or could not be started; and how long its name waits now."""
    if isinstance(event, LaunchFailed):
        failures = slot.failures + 1
        return replace(slot, failures=failures), wait_before_relaunch(failures)
    crashes = crashes_after(slot.crashes, now.mono - dyno.launched)
    return replace(slot, crashes=crashes, failures=0), wait_before_retry(crashes)


def _after_crash(fleet: Fleet, desired: Desired, dyno: Dyno, event: Event, now: Now, draw: Draw) -> Outcome:
    slot = fleet.slots[dyno.name]
    if slot.next is not None:  # its successor is on the way already
        return without_dyno(with_slot(fleet, dyno.name, Slot(slot.next)), dyno.id), ()
    row = wanted_names(desired).get(dyno.name)
    if row is None:
        return without_dyno(without_slot(fleet, dyno.name), dyno.id), ()
    slot, wait = _counted(slot, dyno, event, now)
    if wait == 0.0:
        return start(fleet, desired, dyno.name, row, CRASHED, now, draw, slot.crashes)
    after = Slot(dyno.id, slot.crashes, now.mono + wait, failures=slot.failures)
    return with_slot(fleet, dyno.name, after), ()


def _after_next_crash(
    fleet: Fleet, desired: Desired, dyno: Dyno, event: Event, now: Now, draw: Draw
) -> Outcome:
    """The successor of a dyno that serves has crashed: the old one serves on, the new one is tried again, later each time."""
    slot, wait = _counted(fleet.slots[dyno.name], dyno, event, now)
    row = wanted_names(desired).get(dyno.name)
    slot = replace(slot, retry=now.mono + wait, next=None, crashed=dyno.release)
    fleet = with_slot(fleet, dyno.name, slot)
    if row is None or wait > 0.0:
        return fleet, ()
    return boot_beside(fleet, desired, dyno.name, row, CRASHED, now, draw)


def happened(fleet: Fleet, desired: Desired, dyno_id: DynoId, event: Event, now: Now, draw: Draw) -> Outcome:
    """Take one event of one dyno; an event for a dyno that is no more is old news and changes nothing."""
    dyno = fleet.dynos.get(dyno_id)
    if dyno is None or dyno.phase is Phase.ENDED:
        return fleet, ()
    slot = fleet.slots.get(dyno.name)
    succeeds = slot is not None and slot.next == dyno_id
    fleet, effects = take(fleet, dyno, event, now)
    if isinstance(event, Launched) and slot is not None and slot.failures:
        fleet = with_slot(fleet, dyno.name, replace(slot, failures=0))
    after = fleet.dynos.get(dyno_id)
    if succeeds and after is None:
        fleet, more = _after_next_crash(fleet, desired, dyno, event, now, draw)
    elif after is None:
        return fleet, effects
    elif after.phase is Phase.ENDED:
        fleet, more = _bearer_ended(fleet, desired, after, event, now, draw)
    elif after.phase is Phase.UP and dyno.phase is not Phase.UP:
        fleet, more = _came_up(fleet, desired, now, draw)
    else:
        return fleet, effects
    return fleet, (*effects, *more)


def _came_up(fleet: Fleet, desired: Desired, now: Now, draw: Draw) -> Outcome:
    if desired.handover is Handover.ROLLING:
        return reconcile(fleet, desired, "the next of a rolling restart", now, draw)
    return promote(fleet, "its successor is up", now)


def _bearer_ended(fleet: Fleet, desired: Desired, dyno: Dyno, event: Event, now: Now, draw: Draw) -> Outcome:
    if asleep(dyno) and dyno.name in wanted_names(desired):
        return fleet, ()
    if dyno.shown not in {DynoState.DOWN, DynoState.IDLE}:
        return _after_crash(fleet, desired, dyno, event, now, draw)
    fleet = without_dyno(without_slot(fleet, dyno.name), dyno.id)
    row = wanted_names(desired).get(dyno.name)
    if row is None:
        return fleet, ()
    return start(fleet, desired, dyno.name, row, "it is wanted again", now, draw)  # scaled down and up again


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
    fleet, effects = start(fleet, desired, dyno.name, row, "its processes were gone", now, draw, slot.crashes)
    return fleet, (*noted, Say(dyno.name, RELOCATING), *effects)


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
    return settled and dyno.phase in {*COMING, Phase.UP, Phase.FROZEN}


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
            why = f"{NOT_STARTED if slot.failures else CRASHED} and has waited"
            fleet, more = _retry(fleet, desired, name, wanted[name], why, now, draw)
            effects += more
    for dyno in tuple(fleet.dynos.values()):
        if dyno.cycle > now.mono or not _cycles(fleet, dyno):
            continue
        if dyno.kind is Kind.ONE_OFF:
            fleet, more = stop(fleet, dyno, "its day is over", now, replaced=False)
            effects += (Say(dyno.name, "Cycling"), *more)
        else:
            fleet, more = restart(fleet, desired, (dyno.name,), "its day is over", now, draw, "Cycling")
            effects += more
    return fleet, tuple(effects)


def _retry(
    fleet: Fleet, desired: Desired, name: DynoName, row: Formation, why: str, now: Now, draw: Draw
) -> Outcome:
    slot = fleet.slots[name]
    if serves(fleet.current(name)):
        return boot_beside(fleet, desired, name, row, why, now, draw)
    return start(fleet, desired, name, row, why, now, draw, slot.crashes, slot.failures)


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
    return take(fleet, fleet.dynos[slot.dyno], asked, now)


def rouse(
    fleet: Fleet, desired: Desired, name: DynoName, row: Formation, why: str, now: Now, draw: Draw
) -> Outcome:
    """Thaw what bears a name if it is frozen and still what is wanted, else start it anew; what is awake is let be."""
    bearer = fleet.current(name)
    if bearer is None:
        return start(fleet, desired, name, row, why, now, draw)
    if not asleep(bearer):
        return fleet, ()
    if bearer.phase is Phase.FROZEN and fits(bearer, desired, row) and not fleet.slots[name].stale:
        return take(fleet, bearer, ThawAsked(why), now)
    return replace_bearer(fleet, desired, name, row, why, now, draw, "Unidling")


# -- one-offs ---------------------------------------------------------------------------------------------------------


def start_one_off(fleet: Fleet, desired: Desired, dyno: Dyno, why: str) -> Outcome:
    """Add a one-off, unless its app was destroyed meanwhile; it is nobody's slot and is gone when it ends."""
    if desired.gone:
        return fleet, ()
    return with_dyno(fleet, dyno), begin(dyno, why)


def stop_dyno(fleet: Fleet, dyno: Dyno, why: str, now: Now, signal: int) -> Outcome:
    """Tell one dyno to stop for good (a one-off)."""
    if dyno.phase is Phase.ENDED:
        return fleet, ()
    return take(fleet, dyno, StopAsked(why, signal=signal), now)
