"""The pool of eco dyno hours: 1,000 a month for an account (HEROKU.md 1.9), counted from when its eco dynos were seen awake.

Pure: the wall clock comes in, months are UTC's. An interval that began in an earlier month counts from the start of this one; a clock
that was set gives nothing and takes nothing (`jumped`). Who looks, and what follows from an empty pool: engine/eco.py.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from dynod.core.fleet import Fleet
from dynod.core.lifecycle import Phase
from dynod.model.app import AppId
from dynod.model.dyno import DynoId
from dynod.model.formation import ECO

_ASLEEP = {Phase.ENDED, Phase.FROZEN}


@dataclass(frozen=True, slots=True)
class Awake:
    """`since`: epoch seconds."""

    app: AppId
    since: float


@dataclass(frozen=True, slots=True)
class Hours:
    """`month` (`2026-11`) is what `used` counts, in seconds by app, of intervals that are over; `awake` are those that are not."""

    month: str = ""
    used: Mapping[AppId, float] = field(default_factory=dict)
    awake: Mapping[DynoId, Awake] = field(default_factory=dict)


def awake(fleet: Fleet) -> frozenset[DynoId]:
    """The eco dynos of an app that use hours now, one-offs among them."""
    dynos = fleet.dynos.values()
    return frozenset(dyno.id for dyno in dynos if dyno.size == ECO.name and dyno.phase not in _ASLEEP)


def _month(now: float) -> datetime:
    return datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def month_end(now: float) -> float:
    """When the pool is full again, epoch seconds."""
    start = _month(now)
    after = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return after.timestamp()


def turned(hours: Hours, now: float) -> Hours:
    """The account of the month that it is now."""
    start = _month(now)
    if (month := f"{start:%Y-%m}") <= hours.month:
        return hours
    begun = start.timestamp()
    awake = {dyno: replace(each, since=max(each.since, begun)) for dyno, each in hours.awake.items()}
    return Hours(month, {}, awake)


def jumped(hours: Hours, by: float) -> Hours:
    """The clock was set by so many seconds: nobody was awake for longer, or shorter, for that."""
    awake = {dyno: replace(each, since=each.since + by) for dyno, each in hours.awake.items()}
    return replace(hours, awake=awake)


def seen(hours: Hours, app: AppId, dynos: Iterable[DynoId], now: float) -> Hours:
    """These eco dynos of an app are awake now, and no others of it."""
    hours = turned(hours, now)
    there = frozenset(dynos)
    gone = {dyno: each for dyno, each in hours.awake.items() if each.app == app and dyno not in there}
    new = there - hours.awake.keys()
    if not gone and not new:
        return hours
    spent = sum(max(0.0, now - each.since) for each in gone.values())
    used = {**hours.used, app: hours.used.get(app, 0.0) + spent} if gone else hours.used
    kept = {dyno: each for dyno, each in hours.awake.items() if dyno not in gone}
    return Hours(hours.month, used, {**kept, **{dyno: Awake(app, now) for dyno in sorted(new)}})


def used(hours: Hours, now: float) -> Mapping[AppId, float]:
    """Seconds used in this month by each app, those of dynos that are awake included."""
    hours = turned(hours, now)
    found = dict(hours.used)
    for each in hours.awake.values():
        found[each.app] = found.get(each.app, 0.0) + max(0.0, now - each.since)
    return found


def spent(hours: Hours, pool: float, now: float) -> bool:
    """Whether a pool of so many seconds is empty."""
    return sum(used(hours, now).values()) >= pool


def next_change(hours: Hours, pool: float, now: float) -> float | None:
    """When the pool is empty if things stay as they are, or full again; None if that will not be."""
    left = pool - sum(used(hours, now).values())
    end = month_end(now)
    if left <= 0:
        return end
    return min(now + left / len(hours.awake), end) if hours.awake else None
