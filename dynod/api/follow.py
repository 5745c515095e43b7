"""Reading a stream that must be told when its reader leaves: an async generator left hanging would keep its source open."""

import contextlib
from collections.abc import AsyncIterator
from typing import TypeVar

_Item = TypeVar("_Item")


@contextlib.asynccontextmanager
async def follow(items: AsyncIterator[_Item]) -> AsyncIterator[AsyncIterator[_Item]]:
    """Give the iterator, and close it at the end of the block, however that came."""
    try:
        yield items
    finally:
        if (close := getattr(items, "aclose", None)) is not None:
            await close()
