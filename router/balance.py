"""Which dyno a request goes to: uniform random over those that are not in quarantine (HEROKU.md 4.1). Never round robin.

`checkout` and `checkin` are the only way in-flight counts change. Chance and time come in as values.
"""

from collections.abc import Callable, Collection, Sequence

from dynod.model.route import Backend

TRIES = 10  # at most so many dynos per request, or all of them if fewer


class Balance:
    """In-flight requests and quarantines of this worker, by backend id. Workers do not coordinate, as on Heroku."""

    __slots__ = ("_quarantined", "in_flight")

    def __init__(self) -> None:
        self.in_flight: dict[str, int] = {}
        self._quarantined: dict[str, float] = {}

    def checkout(
        self, backends: Sequence[Backend], now: float, chance: Callable[[], float]
    ) -> Backend | None:
        """Take a backend, or None while all of them are in quarantine. `chance` is uniform in [0, 1)."""
        if self._quarantined:
            backends = [back for back in backends if not self._is_quarantined(back.id, now)]
        count = len(backends)
        if count == 0:
            return None
        backend = backends[0] if count == 1 else backends[int(chance() * count)]
        self.in_flight[backend.id] = self.in_flight.get(backend.id, 0) + 1
        return backend

    def checkin(self, backend: Backend) -> None:
        """Give back what `checkout` gave."""
        self.in_flight[backend.id] -= 1

    def quarantine(self, backend: Backend, until: float) -> None:
        """Leave a backend alone that refused or did not answer a connection."""
        self._quarantined[backend.id] = until

    def forget(self, known: Collection[str]) -> None:
        """Drop what is kept about backends that left the table and have nothing in flight."""
        for id in [id for id, count in self.in_flight.items() if count == 0 and id not in known]:
            del self.in_flight[id]
        for id in [id for id in self._quarantined if id not in known]:
            del self._quarantined[id]

    def _is_quarantined(self, id: str, now: float) -> bool:
        until = self._quarantined.get(id)
        if until is None:
            return False
        if until <= now:
            del self._quarantined[id]
            return False
        return True


def tries(backends: Sequence[Backend]) -> int:
    """How many dynos one request may try to connect to."""
    return min(TRIES, len(backends))
