"""The pool of eco hours: what is counted, when it is empty, when it is full again."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dynod.core import hours
from dynod.core.fleet import Fleet
from dynod.core.hours import Awake, Hours
from dynod.core.lifecycle import Phase
from tests.core.test_lifecycle import dyno

HOUR = 3600.0
POOL = 10 * HOUR


def at(day, hour=0, month=11, year=2026):
    return datetime(year, month, day, hour, tzinfo=UTC).timestamp()


def lived(*moments):
    """Fold (app, dynos awake, time)."""
    account = Hours()
    for app, dynos, now in moments:
        account = hours.seen(account, app, dynos.split(), now)
    return account


TABLE = {
    "nothing ever ran": ([], at(5), {}, None),
    "one runs": ([("a", "d1", at(5))], at(5, 2), {"a": 2.0}, at(5, 10)),
    "one ran": ([("a", "d1", at(5)), ("a", "", at(5, 3))], at(6), {"a": 3.0}, None),
    "it sleeps and wakes": (
        [("a", "d1", at(5)), ("a", "", at(5, 3)), ("a", "d2", at(5, 4))],
        at(5, 6),
        {"a": 5.0},
        at(5, 11),
    ),
    "web and worker": ([("a", "d1 d2", at(5))], at(5, 2), {"a": 4.0}, at(5, 5)),
    "two apps share the pool": (
        [("a", "d1", at(5)), ("b", "d2", at(5, 1))],
        at(5, 2),
        {"a": 2.0, "b": 1.0},
        at(5, 5, 11) + 0.5 * HOUR,
    ),
    "it is replaced": ([("a", "d1", at(5)), ("a", "d2", at(5, 1))], at(5, 2), {"a": 2.0}, at(5, 10)),
    "empty": ([("a", "d1", at(5))], at(5, 12), {"a": 12.0}, at(1, month=12)),
    "the month ends first": ([("a", "d1", at(30, 20))], at(30, 22), {"a": 2.0}, at(1, month=12)),
    "the month has turned under it": (
        [("a", "d1", at(30, 20))],
        at(1, 3, month=12),
        {"a": 3.0},
        at(1, 10, month=12),
    ),
    "what ended last month is forgotten": (
        [("a", "d1", at(20)), ("a", "", at(20, 5)), ("b", "d2", at(1, 0, 12))],
        at(1, 1, 12),
        {"b": 1.0},
        at(1, 10, 12),
    ),
    "a year turns": ([("a", "d1", at(31, 12, 12))], at(1, 1, 1, 2027), {"a": 1.0}, at(1, 10, 1, 2027)),
    "the clock was set back a little": ([("a", "d1", at(5, 5))], at(5, 4), {"a": 0.0}, at(5, 14)),
    "the clock was set back a month": ([("a", "d1", at(5, 5))], at(5, 6, 10), {"a": 0.0}, at(5, 16, 10)),
}


@pytest.mark.parametrize(("moments", "now", "used", "change"), TABLE.values(), ids=TABLE.keys())
def test_what_is_used_and_what_comes_next(moments, now, used, change):
    account = lived(*moments)
    assert {app: seconds / HOUR for app, seconds in hours.used(account, now).items()} == used
    assert hours.next_change(account, POOL, now) == change
    assert hours.spent(account, POOL, now) is (sum(used.values()) >= 10)


def test_seeing_the_same_again_changes_nothing():
    account = lived(("a", "d1", at(5)))
    assert hours.seen(account, "a", ["d1"], at(6)) is account


def test_an_end_with_the_clock_set_back_takes_nothing():
    account = lived(("a", "d1", at(5, 5)), ("a", "", at(5, 4)))
    assert hours.used(account, at(5, 4)) == {"a": 0.0}


def test_a_clock_that_was_set_counts_no_hour_more_or_less():
    account = lived(("a", "d1", at(5, 5)))
    assert hours.used(hours.jumped(account, 48 * HOUR), at(7, 6)) == {"a": HOUR}
    assert hours.used(hours.jumped(account, -2 * HOUR), at(5, 4)) == {"a": HOUR}


def test_turning_back_keeps_the_newer_month():
    account = Hours("2026-12", {"a": 7.0}, {"d1": Awake("a", at(2, month=12))})
    assert hours.turned(account, at(5)) is account


def test_awake_are_eco_dynos_with_processes_that_run():
    phases = {phase: replace(dyno(phase=phase, size="Eco"), id=f"{phase}") for phase in Phase}
    other = replace(dyno(phase=Phase.UP), id="other")
    one_off = replace(dyno("run.1234", Phase.UP, size="Eco"), id="one-off")
    fleet = Fleet({each.id: each for each in (*phases.values(), other, one_off)})
    assert hours.awake(fleet) == {*map(str, Phase), "one-off"} - {"ended", "frozen"}
