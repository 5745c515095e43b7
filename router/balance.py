"""Which dyno a request goes to: uniform random over those that are not in quarantine (HEROKU.md 4.1). Never round robin.

`checkout` and `checkin` are the only way in-flight counts change. Chance and time come in as values.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from dynod.model.route import Backend

TRIES = 10  # at most so many dynos per request, or all of them if fewer


class Target:
    """A backend and what this worker knows of it. Workers do not coordinate, as on Heroku. `idle` is upstream.py's."""

    __slots__ = ("backend", "drained", "gone", "idle", "in_flight", "quarantined_until")

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.gone = False  # out of the table: what is under way may end
        self.drained: Callable[[], None] | None = None  # called when the last request of a gone one has ended
        self.in_flight = 0
        self.quarantined_until = 0.0
        self.idle: list[Any] = []  # connections, the one used last at the end


def targets(backends: Iterable[Backend], known: Mapping[str, Target]) -> tuple[Target, ...]:
    """Keep the targets that are known already, with what is known of them; make the others."""
    return tuple(
        target if (target := known.get(back.id)) is not None and target.backend == back else Target(back)
        for back in backends
    )


def checkout(choice: Sequence[Target], now: float, chance: Callable[[], float]) -> Target | None:
    """Take a target, or None while all of them are in quarantine. `chance` is uniform in [0, 1)."""
    count = len(choice)
    target = choice[0] if count == 1 else choice[int(chance() * count)]
    if target.quarantined_until > now:
        free = [other for other in choice if other.quarantined_until <= now]
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


def tries(choice: Sequence[Target]) -> int:
    """How many dynos one request may try to connect to."""
    return min(TRIES, len(choice))
