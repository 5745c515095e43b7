"""Tables out: on disk, to who connects and to who is connected; a stop waits until all routers serve by the newest."""

import asyncio

from support.waiting import run

from dynod.engine.routerlink import RouterLink
from dynod.link import connect
from dynod.model.route import RouteTable
from dynod.model.settings import Settings, routes_file, routes_socket
from dynod.wire import table as table_codec


def _settings(tmp_path):
    return Settings(state=str(tmp_path / "s"), run=str(tmp_path))


def test_a_stop_waits_until_every_router_has_the_newest_table(tmp_path):
    async def story():
        settings, woken, got = _settings(tmp_path), asyncio.Queue(), asyncio.Queue()
        link = RouterLink(settings, woken.put_nowait)
        link.publish(RouteTable(generation=1))
        await link.open()
        await link.settled()  # nobody is there

        peer = await connect(routes_socket(settings.run), got.put_nowait)
        first = table_codec.decode((await got.get()).params)
        link.publish(RouteTable(generation=2, hosts={"a.localhost": "a1"}))
        second = table_codec.decode((await got.get()).params)
        assert (first.generation, second.generation) == (1, 2)

        waiting = asyncio.ensure_future(link.settled())
        await peer.notify("applied", [1])
        await peer.notify("wake", ["a1"])
        await peer.notify("nonsense", [])
        assert await woken.get() == "a1"
        assert not waiting.done()
        await peer.notify("applied", [2])
        await waiting

        link.publish(RouteTable(generation=3))
        waiting = asyncio.ensure_future(link.settled())
        await asyncio.sleep(0)
        await peer.close()  # a router that dies holds nobody up
        await waiting
        await link.close()
        with open(routes_file(settings.state), "rb") as file:
            return table_codec.decode(file.read()).generation

    assert run(story()) == 3
