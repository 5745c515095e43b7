"""Which dyno a request goes to: uniform random over those that have room and are not in quarantine (HEROKU.md 4.1). Never round robin.

`checkout` and `checkin` are the only way in-flight counts change. Chance and time come in as values. How many a dyno may have in flight
and how many may wait is said by the table (model.route.Limits) for the whole router; a worker keeps its share of the places, because
workers know nothing of each other: so there are never more than that in flight, and a worker's own queue takes up what the kernel spread
unevenly. Shared memory would be exact in the other direction too, for two atomic writes per request.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dynod.model.route import Backend, Limits

TRIES = 10  # at most so many dynos per request, or all of them if fewer
NO_LIMIT = 2**62


class Queue(OrderedDict[Any, Any]):
    """The clients of one app that wait for a place, with their exchanges: who came first is served first. The rest is proxy.py's."""

    __slots__ = ("admitting",)

    def __init__(self) -> None:
        super().__init__()
        self.admitting = False


class Target:
    """A backend and what this worker knows of it. `idle` is upstream.py's.

    `room` is what `checkout` compares with: `most` while the dyno may be used, 0 while it is to be looked at closer.
    """

    __slots__ = (
        "_quarantined_until",
        "backend",
        "drained",
        "gone",
        "idle",
        "in_flight",
        "most",
        "queue",
        "room",
        "tunnels",
        "tunnels_most",
    )

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.most = self.room = NO_LIMIT
        self.queue = Queue()  # the app's
        self.gone = False  # out of the table: what is under way may end
        self.drained: Callable[[], None] | None = None  # called when the last request of a gone one has ended
        self.in_flight = 0
        self.tunnels = 0  # WebSockets, which hold no place
        self.tunnels_most = NO_LIMIT
        self._quarantined_until = 0.0
        self.idle: list[Any] = []  # connections, the one used last at the end

    @property
    def quarantined_until(self) -> float:
        """When it may be used again; in the past if it may."""
        return self._quarantined_until

    @quarantined_until.setter
    def quarantined_until(self, until: float) -> None:
        self._quarantined_until = until
        self.room = 0

    def limit(self, most: int, queue: Queue, tunnels: int = NO_LIMIT) -> None:
        """Allow so many in flight from now on, the others wait in this queue; and so many WebSockets."""
        self.most = most
        self.room = 0
        self.tunnels_most = tunnels
        self.queue = queue

    def has_room(self, now: float) -> bool:
        """Whether it may get one more request."""
        if self._quarantined_until > now:
            return False
        self.room = self.most
        return self.in_flight < self.most


def share(whole: int, which: int, workers: int) -> int:
    """Say how much of `whole` is the `which`th worker's: the shares add up to it, and nobody's is 0. 0 is no limit."""
    if whole <= 0:
        return NO_LIMIT
    return max(1, whole // workers + (which < whole % workers))


def targets(backends: Iterable[Backend], known: Mapping[str, Target]) -> tuple[Target, ...]:
    """Keep the targets that are known already, with what is known of them; make the others."""
    return tuple(
        target if (target := known.get(back.id)) is not None and target.backend == back else Target(back)
        for back in backends
    )


def checkout(choice: Sequence[Target], now: float, chance: Callable[[], float]) -> Target | None:
    """Take a target, or None while all of them are full or in quarantine. `chance` is uniform in [0, 1)."""
    count = len(choice)
    target = choice[0] if count == 1 else choice[int(chance() * count)]
    if target.in_flight >= target.room:
        free = [other for other in choice if other.has_room(now)]
        if not free:
            return None
        target = free[int(chance() * len(free))]
    target.in_flight += 1
    return target


def checkin(target: Target) -> None:
    """Give back what `checkout` gave."""
    target.in_flight -= 1
    if target.gone and target.in_flight == 0 and target.drained is not None:
        target.drained()


def quarantined(choice: Iterable[Target], now: float) -> bool:
    """Whether all of them are left alone, and not merely full."""
    return all(target.quarantined_until > now for target in choice)


def too_deep(waiting: int, dynos: int, limits: Limits, most: int) -> bool:
    """Whether one more may not wait (H11).

    The router holds up to `in_flight` + `backlog` requests per dyno; a worker whose share of the places is smaller lets more of them wait,
    so that one client with many streams, whose worker is one, meets no other bound than it would at a router of one worker.
    """
    if limits.in_flight <= 0:
        return False
    return waiting >= (limits.in_flight + limits.backlog - most) * dynos


def tries(choice: Sequence[Target]) -> int:
    """How many dynos one request may try to connect to."""
    return min(TRIES, len(choice))
