"""When does $PORT accept? One connection attempt after the other while a web dyno boots, and only then.

The kernel has no event for another network namespace's listen(2) that could be waited for without eBPF, so this is the one
place that asks again and again: after 2 ms first, then at growing distances up to 100 ms, 60 s in all. An attempt costs one
SYN over a veth and is answered at once by accept or reset.
"""

import asyncio
import contextlib

FIRST, LONGEST, GROWTH = 0.002, 0.1, 1.3


async def accepts(address: str, port: int) -> None:
    """Return when a TCP connection to address:port is accepted; cancel it to give up."""
    pause = FIRST
    loop = asyncio.get_running_loop()
    while True:
        try:
            # wait_for of Python 3.11 loses a cancelling that meets a refusal.
            async with asyncio.timeout(1.0):
                _, writer = await asyncio.open_connection(address, port)
        except (OSError, TimeoutError):
            tick = asyncio.Event()
            loop.call_later(pause, tick.set)
            await tick.wait()
            pause = min(pause * GROWTH, LONGEST)
        else:
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            return
