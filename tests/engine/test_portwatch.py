"""The watch of a port: it ends when the port accepts, and when nobody wants to know any more."""

import asyncio
import socket

from support.waiting import run

from dynod.engine.portwatch import accepts

MOMENTS = 60  # turns of the loop in which the first attempts are made and refused


def test_it_ends_when_the_port_accepts():
    async def story():
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            watch = asyncio.ensure_future(accepts(*listener.getsockname()))
            await asyncio.sleep(0)
            listener.listen()
            await watch

    run(story())


def test_it_ends_at_once_when_it_is_given_up_whatever_it_is_doing():
    """One that went on would ask for good: a refusal that came in the very turn of the cancelling once hid it."""

    async def story():
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))  # ours, and it does not listen
            for turns in range(MOMENTS):
                watch = asyncio.ensure_future(accepts(*closed.getsockname()))
                for _ in range(turns):
                    await asyncio.sleep(0)
                watch.cancel()
                await asyncio.wait([watch], timeout=60)
                assert watch.cancelled(), f"after {turns} turns"

    run(story())
