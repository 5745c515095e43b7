"""Who bears a name of the formation next: a new dyno in the old one's place, or beside it until it serves.

A restart follows Heroku's order of 2026 (HEROKU.md 1.2): the new dyno is started first, then the old one is told to stop. With
preboot, new web dynos boot while the old ones serve, and traffic changes over once all of them accept (HEROKU.md 2.2); rolling, a
quarter of them is replaced at a time. Every function takes a Fleet and returns the next one with its effects; when one is called is
core/reconcile.py's business.
"""

import math
from dataclasses import replace

from dynod.core.cycling import cycle_at
from dynod.core.effects import Effect, Say
from dynod.core.environ import expanded
from dynod.core.events import Event, StopAsked
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
)
from dynod.core.lifecycle import Dyno, Kind, Now, Phase, asleep, begin, change_line, is_web, step
from dynod.model.dyno import DynoId, DynoName, DynoState
from dynod.model.formation import WEB, Formation

_GOING = {Phase.STOPPING, Phase.FAILING}
COMING = {Phase.LAUNCHING, Phase.STARTING}  # out of service, and on the way in


def fits(dyno: Dyno, desired: Desired, row: Formation) -> bool:
    """Whether a dyno is what its row asks for, of the release that is desired, and not on its way out."""
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


def take(fleet: Fleet, dyno: Dyno, event: Event, now: Now) -> Outcome:
    """Let one dyno take one event; an ended one stays only while it bears a name."""
    after, effects = step(dyno, event, now)
    slot = fleet.slots.get(after.name)
    if after.phase is Phase.ENDED and (slot is None or slot.dyno != after.id):
        return without_dyno(fleet, after.id), effects
    return with_dyno(fleet, after), effects


def stop(fleet: Fleet, dyno: Dyno, why: str, now: Now, *, replaced: bool) -> Outcome:
    """Tell a dyno to stop, quietly where a successor bears its name; an ended one is forgotten."""
    if dyno.phase is Phase.ENDED:
        return without_dyno(fleet, dyno.id), ()
    return take(fleet, dyno, StopAsked(why, replaced=replaced), now)


def drop_next(fleet: Fleet, name: DynoName, why: str, now: Now) -> Outcome:
    """Give up the successor that boots for a name, if there is one."""
    slot = fleet.slots[name]
    if slot.next is None:
        return fleet, ()
    fleet = with_slot(fleet, name, replace(slot, next=None))
    return stop(fleet, fleet.dynos[slot.next], why, now, replaced=True)


def start(
    fleet: Fleet,
    desired: Desired,
    name: DynoName,
    row: Formation,
    why: str,
    now: Now,
    draw: Draw,
    crashes: int = 0,
    failures: int = 0,
) -> Outcome:
    """Put a new dyno on a name; the one that bore it, if it lives, is told to stop afterwards."""
    old = fleet.current(name)
    new = _new(desired, name, row, now, draw)
    if old is None:
        return with_slot(with_dyno(fleet, new), name, Slot(new.id, crashes, failures=failures)), begin(
            new, why
        )
    fleet, dropped = drop_next(fleet, name, why, now)
    fleet = with_slot(with_dyno(fleet, new), name, Slot(new.id, crashes, failures=failures))
    changed = () if old.shown is DynoState.STARTING else (change_line(old, DynoState.STARTING),)
    fleet, stopping = stop(fleet, old, why, now, replaced=True)
    return fleet, (*changed, *begin(new, why), *stopping, *dropped)


# -- handing over -----------------------------------------------------------------------------------------------------


def serves(dyno: Dyno | None) -> bool:
    """Whether it is a web dyno in service, so that there is something to hand over."""
    return dyno is not None and dyno.phase is Phase.UP and is_web(dyno)


def boot_beside(
    fleet: Fleet, desired: Desired, name: DynoName, row: Formation, why: str, now: Now, draw: Draw
) -> Outcome:
    """Boot the successor of a web dyno that goes on serving; one that boots already and fits is let be."""
    slot = fleet.slots[name]
    if slot.next is not None and fits(fleet.dynos[slot.next], desired, row):
        return fleet, ()
    fleet, dropped = drop_next(fleet, name, why, now)
    new = _new(desired, name, row, now, draw)
    crashes, failures = (slot.crashes, slot.failures) if slot.retry is not None else (0, 0)
    after = Slot(slot.dyno, crashes, stale=slot.stale, next=new.id, failures=failures)
    fleet = with_slot(with_dyno(fleet, new), name, after)
    return fleet, (*begin(new, why), *dropped)


def replace_bearer(
    fleet: Fleet, desired: Desired, name: DynoName, row: Formation, why: str, now: Now, draw: Draw, said: str
) -> Outcome:
    """Replace what bears a name in the way that is asked for; a dyno that does not serve has nothing to hand over."""
    bearer = fleet.current(name)
    if desired.handover is Handover.PREBOOT and serves(bearer):
        if (
            (retry := fleet.slots[name].retry) is not None
            and retry > now.mono
            and _same_try(fleet, desired, name)
        ):
            return fleet, ()
        fleet, effects = boot_beside(fleet, desired, name, row, why, now, draw)
        return fleet, ((Say(name, said), *effects) if effects else ())
    told = () if bearer is None or bearer.phase is Phase.STOPPING else (Say(name, said),)
    if bearer is not None and asleep(bearer):
        told = (Say(name, "Unidling"),)
    fleet, effects = start(fleet, desired, name, row, why, now, draw)
    return fleet, (*told, *effects)


def _same_try(fleet: Fleet, desired: Desired, name: DynoName) -> bool:
    """Whether the successor that crashed was of the release that is still desired; a newer one is tried at once."""
    return fleet.slots[name].crashed == desired.release


def promote(fleet: Fleet, why: str, now: Now) -> Outcome:
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
        fleet, more = stop(fleet, dyno, why, now, replaced=True)
        effects += more
    return fleet, tuple(effects)


def room(fleet: Fleet, desired: Desired, name: DynoName) -> bool:
    """Whether one more web dyno may be taken out of service now."""
    if desired.handover is not Handover.ROLLING or name.type != WEB or not serves(fleet.current(name)):
        return True
    webs = [fleet.dynos[slot.dyno] for each, slot in fleet.slots.items() if each.type == WEB]
    away = sum(dyno.phase in COMING for dyno in webs)
    return away < math.ceil(len(webs) / 4)
