"""A ledger that lives as long as its object: for tests of what stands above, and to keep the Store protocol honest."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace

from dynod.core.ledger import Ledger
from dynod.model.entry import Entry
from dynod.store.following import Bell
from dynod.store.protocol import Conflict, Held


class MemoryStore:
    """See store/protocol.py for what each method promises; nothing here outlives the process."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._entries: list[Entry] = []
        self._snapshot: tuple[int, Ledger] | None = None
        self._leases: dict[str, tuple[str, float, int]] = {}  # holder, until, fence
        self._fence = 0
        self._bell = Bell()

    async def append(self, entries: Sequence[Entry], expected_revision: int) -> int:
        actual = len(self._entries)
        if actual != expected_revision:
            raise Conflict(actual)
        self._entries += [
            replace(entry, revision=revision) for revision, entry in enumerate(entries, actual + 1)
        ]
        self._bell.ring()
        return len(self._entries)

    async def read(self, from_revision: int) -> Sequence[Entry]:
        return self._entries[from_revision:]

    def watch(self, from_revision: int) -> AsyncIterator[Entry]:
        return self._bell.follow(from_revision, self.read)

    async def snapshot(self) -> tuple[int, Ledger] | None:
        return self._snapshot

    async def save_snapshot(self, revision: int, ledger: Ledger) -> None:
        self._snapshot = revision, ledger

    async def lease(self, name: str, ttl: float, holder: str) -> int:
        now = self._clock()
        held_by, until, fence = self._leases.get(name, ("", 0.0, 0))
        if until <= now:
            self._fence += 1
            fence = self._fence
        elif held_by != holder:
            raise Held(name, held_by, until)
        self._leases[name] = holder, now + ttl, fence
        return fence

    async def close(self) -> None:
        self._bell.close()
