"""When an app's dynos go to sleep and what wakes them (HEROKU.md 1.9); every function takes a Fleet, as in core/reconcile.py.

An app sleeps and wakes as a whole, its workers with its web. It is due `idle_after` seconds after the newest sign of a request; as
routers tell of those only now and then, they are asked once more before it happens (AskActivity, `quiet`). How one dyno sleeps stands
in core/lifecycle.py; which apps' hours are used up in core/hours.py. One-offs neither sleep nor keep an app awake.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from dynod.core.effects import AskActivity, Effect
from dynod.core.events import FreezeAsked, SleepAsked
from dynod.core.fleet import Desired, Draw, Fleet, Habit, Outcome, wanted_names
from dynod.core.lifecycle import Dyno, Now, Phase, asleep, is_web
from dynod.core.reconcile import rest, rouse
from dynod.model.formation import ECO, WEB, Formation

FREEZE = "freeze-when-idle"  # the app feature
AGAIN = 10.0  # seconds until routers are asked again, when no answer came (the daemon was restarted)
_COARSE = 60  # parts of the idle time; activity is written down no finer than that
_AWAKE = {Phase.LAUNCHING, Phase.STARTING, Phase.UP}


def habit(rows: Iterable[Formation], features: Mapping[str, bool], after: float, *, spent: bool) -> Habit:
    """How an app with this formation sleeps. `spent`: its account has no eco hours left."""
    running = [row for row in rows if row.quantity > 0]
    eco = any(row.size == ECO for row in running)
    freeze = features.get(FREEZE, False)
    web = any(row.type == WEB for row in running)
    return Habit(after if web and (eco or freeze) else None, freeze, spent and eco)


def _bearers(fleet: Fleet) -> list[Dyno]:
    return [fleet.dynos[slot.dyno] for slot in fleet.slots.values()]


def _due(fleet: Fleet, habit: Habit) -> float | None:
    """When the app may go to sleep, in mono time: not while a dyno is on its way or a successor boots."""
    awake = [dyno for dyno in _bearers(fleet) if not asleep(dyno)]
    settled = all(dyno.phase in {Phase.UP, Phase.ENDED} for dyno in awake)
    if not awake or not settled or any(slot.next is not None for slot in fleet.slots.values()):
        return None
    if habit.spent:
        return 0.0
    webs = [dyno for dyno in awake if is_web(dyno) and dyno.phase is Phase.UP]
    if habit.after is None or not webs:
        return None
    return max(fleet.active, *(dyno.launched for dyno in webs)) + habit.after


def next_deadline(fleet: Fleet, habit: Habit) -> float | None:
    """When `tick` has something to do, in mono time."""
    due = _due(fleet, habit)
    if due is None or habit.spent or fleet.asked < due:
        return due
    return fleet.asked + AGAIN


def tick(fleet: Fleet, habit: Habit, now: Now) -> Outcome:
    """Ask the routers once the time has come; with no hours left there is nothing to ask."""
    due = next_deadline(fleet, habit)
    if due is None or due > now.mono:
        return fleet, ()
    if habit.spent:
        return _sleep(fleet, habit, "the account's eco dyno hours of this month are used up", now)
    return replace(fleet, asked=now.mono), (AskActivity(),)


def quiet(fleet: Fleet, habit: Habit, now: Now) -> Outcome:
    """The routers have answered: sleep, if it was not a request that they told of."""
    due = _due(fleet, habit)
    if due is None or due > now.mono:
        return fleet, ()
    return _sleep(fleet, habit, f"no request came for {habit.after:g} seconds", now)


def _sleep(fleet: Fleet, habit: Habit, why: str, now: Now) -> Outcome:
    asked = FreezeAsked(why) if habit.freeze else SleepAsked(why)
    effects: list[Effect] = []
    for name, slot in sorted(fleet.slots.items()):
        if not asleep(fleet.dynos[slot.dyno]):
            fleet, more = rest(fleet, name, asked, now)
            effects += more
    return fleet, tuple(effects)


def active(fleet: Fleet, desired: Desired, now: Now, draw: Draw) -> Outcome:
    """Requests reached the app since it was last heard of. One that came just before it fell asleep wakes it again."""
    if any(asleep(dyno) for dyno in _bearers(fleet)):
        return wake(fleet, desired, "a request came as it fell asleep", now, draw)
    after = desired.habit.after
    if after is None or now.mono - fleet.active < after / _COARSE:
        return fleet, ()
    return replace(fleet, active=now.mono), ()


def wake(fleet: Fleet, desired: Desired, why: str, now: Now, draw: Draw) -> Outcome:
    """Wake all of an app that sleeps; one that is awake is let be, and one without hours sleeps on."""
    if desired.habit.spent or not any(asleep(dyno) for dyno in _bearers(fleet)):
        return fleet, ()
    effects: list[Effect] = []
    for name, row in wanted_names(desired).items():
        fleet, more = rouse(fleet, desired, name, row, why, now, draw)
        effects += more
    return replace(fleet, active=now.mono), tuple(effects)


def together(fleet: Fleet, desired: Desired, now: Now, draw: Draw) -> Outcome:
    """After any other decision: where one dyno has been started (a deploy, say), or no web is left to wake them, none sleeps on."""
    dynos = _bearers(fleet)
    sleepers = any(asleep(dyno) and dyno.name in wanted_names(desired) for dyno in dynos)
    awake = any(dyno.phase in _AWAKE for dyno in dynos)
    webs = any(is_web(dyno) for dyno in dynos)
    if not sleepers or (webs and not awake):
        return fleet, ()
    return wake(fleet, desired, "its app was woken", now, draw)


def recalled(fleet: Fleet, now: Now) -> Fleet:
    """A fleet from its record: mono times of an earlier boot of the machine say nothing in this one.

    A dyno that began later than it is now began in an earlier boot. Who crashed then and waits is tried at once: the moment for which it
    waits may be months away in this boot.
    """
    before = {name: slot for name, slot in fleet.slots.items() if fleet.dynos[slot.dyno].launched > now.mono}
    waiting = {name: replace(slot, retry=now.mono) for name, slot in before.items() if slot.retry is not None}
    if fleet.active <= now.mono and not fleet.asked and not waiting:
        return fleet
    active = fleet.active if fleet.active <= now.mono else 0.0
    return replace(fleet, slots={**fleet.slots, **waiting}, active=active, asked=0.0)
