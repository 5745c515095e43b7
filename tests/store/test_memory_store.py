"""The ledger in memory."""

import asyncio

from store_conformance import Conformance, Test

from dynod.store.memory import MemoryStore


class TestMemory(Conformance):
    def opened(self, test: Test) -> None:
        async def run() -> None:
            clock = [0.0]
            store = MemoryStore(lambda: clock[0])
            await test(store, clock)
            await store.close()

        asyncio.run(run())
