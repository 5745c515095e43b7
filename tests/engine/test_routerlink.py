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
        link = RouterLink(settings, woken.put_nowait, woken.put_nowait)
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


def test_routers_are_asked_which_apps_had_requests_and_have_told_when_that_returns(tmp_path):
    async def story():
        settings, heard, got = _settings(tmp_path), [], asyncio.Queue()
        link = RouterLink(settings, heard.append, lambda apps: heard.append(tuple(apps)))
        link.publish(RouteTable(generation=1))
        await link.open()
        waiting = asyncio.ensure_future(link.report())
        peers = [await connect(routes_socket(settings.run), got.put_nowait) for _ in range(2)]
        await _asked(got, 2)  # once all workers are there
        for peer in peers:
            await peer.notify("active", ["a1", "a2"])
            await peer.notify("reported", [1])
        await waiting
        assert heard == [("a1", "a2")] * 2

        waiting = asyncio.ensure_future(link.report())
        await _asked(got, 2)
        await peers[0].close()  # a router that dies holds nobody up
        await peers[1].notify("reported", [2])
        await waiting
        late = await connect(routes_socket(settings.run), got.put_nowait)
        await peers[1].close()
        await late.close()
        await link.close()

    async def _asked(got, count):
        while count:
            count -= (await got.get()).method == "report"

    run(story())
