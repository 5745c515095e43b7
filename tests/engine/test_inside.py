"""A port of a dyno that is reached: the app is held awake as long as the connection is."""

import asyncio
import contextlib
from dataclasses import replace
from types import SimpleNamespace

from support.waiting import run

from dynod.core.fleet import with_dyno
from dynod.engine import inside
from dynod.model.app import AppId
from tests.core.test_reconcile import World


def test_an_app_is_held_awake_while_somebody_is_connected_to_a_port_of_its_dyno():
    async def story():
        greeters = []

        async def greet(reader, writer):
            greeters.append(asyncio.current_task())
            writer.write(b"hello")
            with contextlib.suppress(ConnectionError):
                await reader.read()
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        fleet = World().reconcile().up("d1").fleet
        fleet = with_dyno(fleet, replace(fleet.dynos["d1"], address="127.0.0.1"))
        app, joined = SimpleNamespace(id=AppId("a1"), name="demo"), set()
        house = SimpleNamespace(loop=lambda _: SimpleNamespace(fleet=fleet), joined=joined)
        first, second = [await inside.dial(house, app, "web.1", port) for _ in range(2)]
        assert await anext(aiter(first.output())) == b"hello"
        assert [held for held, _ in joined] == ["a1", "a1"]
        first.close()
        first.close()
        assert len(joined) == 1
        second.unclaimed()
        assert joined == set()
        server.close()
        await asyncio.gather(*greeters)

    run(story())
