"""Tables out: on disk, to who connects and to who is connected; a stop waits until all routers serve by the newest."""

import asyncio
import os

import pytest
from support.waiting import CAP, run

from dynod.engine import routerlink
from dynod.engine.routerlink import RouterLink
from dynod.link import connect
from dynod.link.server import Connection
from dynod.model.certs import CertTable, Served
from dynod.model.route import AppRoute, RouteTable, Standing
from dynod.model.settings import Settings, certs_file, routes_file, routes_socket
from dynod.wire import certs as certs_codec
from dynod.wire import table as table_codec
from dynod.wire.rpc import Notification


@pytest.fixture(autouse=True)
def patient(monkeypatch):
    """However slow this machine is, it is the router that ends a wait here."""
    monkeypatch.setattr(routerlink, "PATIENCE", CAP)
    monkeypatch.setattr(routerlink, "GATHERING", CAP)


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


def test_certificates_lie_where_their_router_alone_may_read_them_and_reach_those_who_connect(tmp_path):
    async def story():
        settings, got = _settings(tmp_path), asyncio.Queue()
        link = RouterLink(settings, print, print)
        link.publish(RouteTable(generation=1))
        link.publish_certs(CertTable(5, (Served("chain", "key"),), {}, {"token": "answer"}))
        mode = os.stat(certs_file(settings.state)).st_mode & 0o777
        await link.open()
        peer = await connect(routes_socket(settings.run), got.put_nowait)
        first = await got.get()
        waiting = asyncio.ensure_future(link.certs_settled())
        await asyncio.sleep(0)
        assert not waiting.done()
        await peer.notify("applied_certs", [5])
        await waiting
        await peer.close()
        await link.close()
        return mode, first.method, certs_codec.decode(first.params)

    mode, method, table = run(story())
    assert (mode, method) == (0o600, "certs")
    assert (table.served, table.challenges) == ((Served("chain", "key"),), {"token": "answer"})
    assert "key" not in repr(table.served)


def test_who_is_no_router_gets_no_keys_and_has_no_say(tmp_path):
    """Logplex's user may connect to RUN/routes.sock too."""

    class Writer:
        def __init__(self):
            self.said, self.gone, self.transport = b"", False, self

        def write(self, data):
            self.said += data

        def abort(self):
            self.gone = True

    woken, found = [], {}
    link = RouterLink(_settings(tmp_path), woken.append, print)
    link.publish(RouteTable(generation=1))
    link.publish_certs(CertTable(5, (Served("chain", "the secret key"),)))
    for uid in (os.geteuid(), 65_534):
        writer = Writer()
        connection = Connection(writer, 1, uid, 1)
        link.opened(connection)
        link.took(connection, Notification("wake", [f"of user {uid}"]))
        link.took(connection, Notification("applied", [1]))
        found[uid] = (b"the secret key" in writer.said, bool(writer.said), writer.gone)
    assert found == {os.geteuid(): (True, True, False), 65_534: (False, False, True)}
    assert (link.workers, woken) == (1, [f"of user {os.geteuid()}"])
    link.publish(RouteTable(generation=2))
    link.refused(connection)
    link.closed(connection)
    assert (writer.said, link.workers) == (b"", 1)


def test_who_takes_changes_gets_them_and_who_does_not_gets_whole_tables(tmp_path):
    async def story():
        settings, old, new = _settings(tmp_path), asyncio.Queue(), asyncio.Queue()
        link = RouterLink(settings, old.put_nowait, old.put_nowait)
        apps = {name: AppRoute(name, name, Standing.SERVING) for name in "ab"}
        first = RouteTable(1, apps)
        link.publish(first)
        await link.open()
        peers = [await connect(routes_socket(settings.run), queue.put_nowait) for queue in (old, new)]
        await peers[1].notify("takes", ["change"])
        await peers[1].notify("applied", [1])
        await peers[0].notify("applied", [1])
        await link.settled()
        held = table_codec.decode((await new.get()).params)
        assert (await old.get()).method == "table"
        for generation in (2, 3):
            apps = {**apps, "a": AppRoute("a", f"a{generation}", Standing.IDLE)}
            link.publish(RouteTable(generation, apps))
            said = await new.get()
            assert said.method == "change"
            held = table_codec.changed(held, said.params)
            assert (held.generation, held.apps) == (generation, apps)
            assert table_codec.decode((await old.get()).params) == held
        for peer in peers:
            await peer.close()
        await link.close()

    run(story())
