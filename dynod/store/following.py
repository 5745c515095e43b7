"""How a watch goes over from the past to the present with no gap and no double: read on, and wait only when nothing is left."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from dynod.model.entry import Entry


class Bell:
    """Rung after each commit; a watcher hears every ring since it last began to read."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Event] = set()
        self.closed = False

    def ring(self) -> None:
        for listener in self._listeners:
            listener.set()

    def close(self) -> None:
        self.closed = True
        self.ring()

    async def follow(
        self, from_revision: int, page: Callable[[int], Awaitable[Sequence[Entry]]]
    ) -> AsyncIterator[Entry]:
        """Yield what `page(revision)` finds after `revision`, over and over, until the bell is closed."""
        listener = asyncio.Event()
        self._listeners.add(listener)
        try:
            while not self.closed:
                listener.clear()  # before the read: what is written from now on rings again
                entries = await page(from_revision)
                for entry in entries:
                    yield entry
                    from_revision = entry.revision
                if not entries:
                    await listener.wait()
        finally:
            self._listeners.discard(listener)
