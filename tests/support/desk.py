"""A desk that answers over dynod.link, one that asks there, and a witness of what else the server hears."""

import asyncio
from contextlib import asynccontextmanager

from waiting import run

from dynod.link import connect, serve
from dynod.link.server import Notified
from dynod.model.refused import Refusal, Refused


class Witness(Notified):
    """Writes down what a server hears besides calls."""

    def __init__(self):
        self.heard = []
        self.connections = []
        self.news = asyncio.Event()

    def opened(self, connection):
        self.connections.append(connection)

    def took(self, connection, notification):
        self.heard.append(notification)
        self.news.set()

    def closed(self, connection):
        self.connections.remove(connection)
        self.news.set()


class Desk:
    """The served methods."""

    def __init__(self):
        self.cancelled = asyncio.Event()
        self.items = 0

    async def answer(self, call):
        match call.method:
            case "echo":
                return call.params
            case "refuse":
                raise Refused(Refusal.NOT_FOUND, "cannot find app demo")
            case "bug":
                raise KeyError("demo")
            case "unsendable":
                return object()
            case "count":
                for number in range(call.params):
                    await call.item(number)
                return "counted"
            case "sum":
                return sum([value async for value in call.inputs()])
            case "add up":
                total = 0
                async for value in call.inputs():
                    total += value
                    await call.item(value)
                return total
            case "for ever":
                try:
                    while True:
                        await call.item("x" * 65536)
                        self.items += 1
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise
            case "wait":
                try:
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    self.cancelled.set()
                    raise


@asynccontextmanager
async def linked(tmp_path, on_notification=None):
    desk, witness, path = Desk(), Witness(), f"{tmp_path}/link.sock"
    server = await serve(path, desk.answer, notified=witness)
    peer = await connect(path, on_notification)
    try:
        yield peer, desk, witness
    finally:
        await peer.close()
        while witness.connections:
            witness.news.clear()
            await witness.news.wait()
        server.close()
        await server.wait_closed()


def linked_test(story):
    def test(tmp_path):
        async def told():
            async with linked(tmp_path) as parts:
                await story(*parts)

        run(told())

    test.__doc__ = story.__doc__
    return test
