"""What the router's workers told of requests, added up per app: all since we began to listen, and the last few minutes.

Workers tell what came since they last did, so that a worker may die and come back without a counter going backwards. An app that is
no more is forgotten with the next table.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynod.model.traffic import AppTraffic, Traffic
from dynod.wire.traffic import BadTraffic, read

SLICE = 60.0  # seconds
SLICES = 5  # whole ones that are recent, beside the one that is running


@dataclass(slots=True)
class _App:
    total: Traffic = field(default_factory=Traffic)
    slices: deque[tuple[int, Traffic]] = field(default_factory=lambda: deque(maxlen=SLICES + 1))


class Counts:
    """`took` takes a worker's message; workers are told apart by any number, until `gone`."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self._apps: dict[str, _App] = {}
        self._known: Collection[str] = ()
        self._in_flight: dict[int, Mapping[str, int]] = {}
        self.since = wall()
        self.lines = 0  # access lines made
        self.dropped = 0  # and those of them that logplex never got

    def took(self, worker: int, message: Any) -> list[int]:
        """Add what a worker tells; return which questions it has answered. Raise BadTraffic."""
        match message:
            case {"apps": [*rows]}:
                for row in rows:
                    self._add(*read(row))
            case _:
                raise BadTraffic("not counts of requests: no apps")
        match message.get("rest"):
            case None:
                return []
            case [dict(in_flight), int(lines), int(dropped), [*answers]]:
                self._in_flight[worker] = {str(app): int(count) for app, count in in_flight.items()}
                self.lines += lines
                self.dropped += dropped
                return [int(number) for number in answers]
        raise BadTraffic("not counts of requests: a rest that is none")

    def _add(self, app: str, traffic: Traffic) -> None:
        if app not in self._known:
            return  # it was destroyed while its last requests ended
        minute = int(self._wall() // SLICE)
        here = self._apps.setdefault(app, _App())
        here.total.add(traffic)
        if not here.slices or here.slices[-1][0] != minute:
            here.slices.append((minute, Traffic()))
        here.slices[-1][1].add(traffic)

    def gone(self, worker: int) -> None:
        """Let go of what a worker had in flight."""
        self._in_flight.pop(worker, None)

    def keep(self, apps: Collection[str]) -> None:
        """These are the apps there are."""
        self._known = apps
        for app in self._apps.keys() - apps:
            del self._apps[app]

    def of(self, app: str) -> AppTraffic:
        """Say what is known of an app."""
        here = self._apps.get(app, _App())
        wall = self._wall()
        oldest = int(wall // SLICE) - SLICES
        recent = Traffic()
        for minute, traffic in here.slices:
            if minute >= oldest:
                recent.add(traffic)
        span = min(wall - oldest * SLICE, max(wall - self.since, 0.0))
        in_flight = sum(each.get(app, 0) for each in self._in_flight.values())
        return AppTraffic(self.since, here.total, span, recent, in_flight)

    def apps(self) -> Mapping[str, Traffic]:
        """Every app that had requests, with all of them."""
        return {app: here.total for app, here in self._apps.items()}

    def in_flight(self) -> Mapping[str, int]:
        """Every app that has requests under way."""
        totals: dict[str, int] = {}
        for each in self._in_flight.values():
            for app, count in each.items():
                totals[app] = totals.get(app, 0) + count
        return totals
