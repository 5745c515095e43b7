"""The ledger on one machine: STATE/ledger.db."""

from collections.abc import Callable

from dynod.store.protocol import Store


async def open_store(state: str, clock: Callable[[], float]) -> Store:
    """Open, or make, the ledger under the state directory; `clock` gives epoch seconds.

    Raise Unreadable (wrong key, newer schema, damaged) or Busy-like Unreadable when another daemon has it.
    """
    raise NotImplementedError
