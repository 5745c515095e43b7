"""What every ledger engine does. One conformance suite (tests/support/store_conformance.py) holds them all to it.

A store belongs to one event loop. `append` that was acknowledged survives SIGKILL and a power cut; `append` that was
cancelled may or may not have happened: read on to know.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from dynod.core.ledger import Ledger
from dynod.model.entry import Entry


class Conflict(Exception):
    """Somebody else appended first; nothing was written. `actual` is the ledger's revision."""

    def __init__(self, actual: int) -> None:
        super().__init__(f"cannot append: the ledger is at revision {actual}")
        self.actual = actual


class Held(Exception):
    """The lease is another holder's until `until` (epoch seconds)."""

    def __init__(self, name: str, holder: str, until: float) -> None:
        super().__init__(f"cannot take lease {name}: {holder} holds it until {until}")
        self.holder = holder
        self.until = until


class Unreadable(Exception):
    """What lies on the disk is not a ledger that this program can read; the text says why and what to do."""


class Damaged(Unreadable):
    """The file is no sound database."""


class Store(Protocol):
    async def append(self, entries: Sequence[Entry], expected_revision: int) -> int:
        """Write all entries or none, as the revisions after `expected_revision`; return the last; raise Conflict.

        The entries' own `revision` is not looked at.
        """
        ...

    async def read(self, from_revision: int) -> Sequence[Entry]:
        """All entries after `from_revision`, in order."""
        ...

    def watch(self, from_revision: int) -> AsyncIterator[Entry]:
        """Yield every entry after `from_revision`, then each new one as it is written; ends when the store closes."""
        ...

    async def snapshot(self) -> tuple[int, Ledger] | None:
        """The newest saved ledger and its revision; None if there is none that this program understands."""
        ...

    async def save_snapshot(self, revision: int, ledger: Ledger) -> None:
        """Keep `ledger` as it was at `revision`, in place of older ones."""
        ...

    async def lease(self, name: str, ttl: float, holder: str) -> int:
        """Take or renew a lease for `ttl` seconds; raise Held.

        Return its fencing revision: the same at each renewal, larger at each taking, by whomever.
        """
        ...

    async def close(self) -> None:
        """Finish what was begun and let go; again is harmless."""
        ...
