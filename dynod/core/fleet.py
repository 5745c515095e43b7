"""One app's live dynos as a value: who bears which name, who boots to take it over, who is on the way out.

A slot is a name of the formation (`web.1`) with the dyno that bears it now; a dyno that was told to stop lives on beside its
successor until it has ended. What follows from events and wishes is decided in core/reconcile.py, what one dyno does with an event in
core/lifecycle.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from dynod.core.effects import Effect
from dynod.core.lifecycle import Dyno, Kind
from dynod.model.app import AppId
from dynod.model.dyno import DynoId, DynoName
from dynod.model.formation import Formation


@dataclass(frozen=True, slots=True)
class Draw:
    """Chance and ids, drawn by the caller: `cycle` in [0, 1), `port` 4 or 5 digits, `number` 1000 to 9999."""

    new_id: Callable[[], str]
    cycle: Callable[[], float]
    port: Callable[[], int]
    number: Callable[[], int]


class Handover(StrEnum):
    """How web dynos that serve are replaced by newer ones."""

    CLASSIC = "classic"  # the new one starts as the old one is told to stop (HEROKU.md 1.2)
    PREBOOT = "preboot"  # all new ones boot first, then traffic changes over at once (HEROKU.md 2.2)
    ROLLING = "rolling"  # a quarter of them at a time, rounded up


def handover(features: Mapping[str, bool]) -> Handover:
    """Which way an app has chosen by its features; preboot wins over rolling."""
    if features.get("preboot"):
        return Handover.PREBOOT
    return Handover.ROLLING if features.get("rolling-deploys") else Handover.CLASSIC


@dataclass(frozen=True, slots=True)
class Habit:
    """Whether and how an app sleeps. `after`: seconds without a request, None for never; `freeze`: its processes are kept.

    `spent`: the eco hours of its account are used up for this month, so that it sleeps and cannot be woken.
    """

    after: float | None = None
    freeze: bool = False
    spent: bool = False


@dataclass(frozen=True, slots=True)
class Desired:
    """The formation that should run, and of which release; no rows when nothing is deployed. `gone`: the app was destroyed."""

    app: AppId
    release: str = ""
    version: int = 0
    rows: tuple[Formation, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)
    handover: Handover = Handover.CLASSIC
    boot_timeout: float = 60.0
    stop_grace: float = 30.0
    habit: Habit = Habit()
    gone: bool = False


def wanted_names(desired: Desired) -> dict[DynoName, Formation]:
    """The names that there should be, each with its row."""
    return {DynoName(row.type, number): row for row in desired.rows for number in range(1, row.quantity + 1)}


@dataclass(frozen=True, slots=True)
class Slot:
    """`retry`: mono time of the next try after a crash that has to wait. `failures`: launches in a row that failed. `stale`: its dyno is to be replaced, though it fits.

    `next`: the dyno that boots to take the name over while `dyno` still serves (preboot); `crashed`: the release of the one that
    could not, so that a newer release need not wait for its retry.
    """

    dyno: DynoId
    crashes: int = 0
    retry: float | None = None
    stale: bool = False
    next: DynoId | None = None
    crashed: str = ""
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Fleet:
    """`active`: mono time of the newest request that was heard of; `asked`: when routers were last asked for newer ones."""

    dynos: Mapping[DynoId, Dyno] = field(default_factory=dict)
    slots: Mapping[DynoName, Slot] = field(default_factory=dict)
    active: float = 0.0
    asked: float = 0.0

    def current(self, name: DynoName) -> Dyno | None:
        """The dyno that bears a formation name now."""
        slot = self.slots.get(name)
        return None if slot is None else self.dynos[slot.dyno]

    def shown(self) -> tuple[Dyno, ...]:
        """What `ps` lists: each formation name once, and the one-offs."""
        formation = tuple(self.dynos[slot.dyno] for _, slot in sorted(self.slots.items()))
        return formation + tuple(dyno for dyno in self.dynos.values() if dyno.kind is Kind.ONE_OFF)


Outcome = tuple[Fleet, tuple[Effect, ...]]


def with_dyno(fleet: Fleet, dyno: Dyno) -> Fleet:
    return replace(fleet, dynos={**fleet.dynos, dyno.id: dyno})


def with_slot(fleet: Fleet, name: DynoName, slot: Slot) -> Fleet:
    return replace(fleet, slots={**fleet.slots, name: slot})


def without_dyno(fleet: Fleet, dyno: DynoId) -> Fleet:
    return replace(fleet, dynos={key: value for key, value in fleet.dynos.items() if key != dyno})


def without_slot(fleet: Fleet, name: DynoName) -> Fleet:
    return replace(fleet, slots={key: value for key, value in fleet.slots.items() if key != name})
