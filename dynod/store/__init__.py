"""The ledger's engines and the bounded history of observations. Nothing here decides anything."""

from dynod.store.protocol import Conflict, Held, Store, Unreadable

__all__ = ["Conflict", "Held", "Store", "Unreadable"]
