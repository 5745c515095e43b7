"""A router and a control plane of two versions: they understand each other, or say that they do not and serve on."""

import asyncio
import contextlib
import logging
from dataclasses import replace

import pytest

from dynod.engine.routerlink import RouterLink
from dynod.link import connect, serve
from dynod.logplex.door import Door
from dynod.logplex.pipes import HostLink
from dynod.logplex.plex import Plex
from dynod.logplex.query import Ask
from dynod.model.log import LogQuery
from dynod.model.route import RouteTable
from dynod.model.settings import Settings, log_socket, routes_socket
from dynod.model.spoken import LOGPLEX, Language
from tests.router.routing import QUICK, FakeDyno, run, running, table, turns

NEXT = Language("control plane", "dynod", newest=2, oldest=2)  # has dropped the first
BOTH = Language("control plane", "dynod", newest=2)
PATIENT = replace(QUICK, active=1000.0, counts=1000.0)


@contextlib.asynccontextmanager
async def routed(house, first: RouteTable):
    """The real control plane's end; `heard` are wakes and activity."""
    heard = []
    link = RouterLink(Settings(state=house.state, run=house.run), heard.append, heard.extend)
    link.publish(first)
    await link.open()
    try:
        yield link, heard
    finally:
        await link.close()


@pytest.mark.parametrize(("ours", "theirs"), [(None, None), (None, BOTH), (BOTH, BOTH), (NEXT, BOTH)])
def test_a_router_and_a_control_plane_that_know_a_common_language_understand_each_other(
    monkeypatch, ours, theirs
):
    if ours is not None:
        monkeypatch.setattr("router.link.ROUTES", ours)
    if theirs is not None:
        monkeypatch.setattr("dynod.engine.routerlink.ROUTES", theirs)

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running() as house, routed(house, table(backend)) as (link, _):
            await turns(lambda: link.workers == 1)
            await link.settled()
            assert (await house.ask()).body == b"hello"
            await link.measure()
            assert link.counts.apps()["app-id"].statuses == {200: 1}

    run(test)


@pytest.mark.parametrize(("ours", "theirs"), [(NEXT, None), (None, NEXT)])
def test_a_router_that_is_not_understood_says_so_and_goes_on_with_the_routes_it_has(
    monkeypatch, caplog, ours, theirs
):
    caplog.set_level(logging.WARNING)

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        first = table(backend)
        with monkeypatch.context() as patched:
            if ours is not None:
                patched.setattr("router.link.ROUTES", ours)
            if theirs is not None:
                patched.setattr("dynod.engine.routerlink.ROUTES", theirs)
            async with running(first, timers=PATIENT) as house:
                worker = house.worker
                async with routed(house, replace(first, generation=2)) as (link, heard):
                    await turns(lambda: worker._link._refused)
                    assert "going on with the routes of before: cannot understand dynod" in caplog.text
                    assert "to the control plane: this one is of dynod" in caplog.text
                    assert "systemctl restart dynod brings what is installed" in caplog.text
                    assert link.workers == 0
                    link.publish(replace(table(), generation=3))  # not for it
                    await link.settled()  # nor waited for
                    assert (await house.ask()).body == b"hello"
                    assert not worker._link.active(["app-id"])  # who is not heard keeps what is to be told
                    assert not worker._link.traffic({})
                    worker._link.wake("app-id")
                    assert heard == []
                patched.undo()  # the control plane is replaced, and its end of the connection goes with it
                worker._link._link.drop()
                async with routed(house, replace(first, generation=4)) as (link, heard):
                    await turns(lambda: link.workers == 1 and not worker._link._refused)
                    await link.settled()
                    assert worker.proxy.routes.table.generation == 4
                    await link.report()
                    assert heard == ["app-id"]

    run(test)


def test_lines_are_kept_for_a_logplex_that_understands_them(monkeypatch, caplog, tmp_path):
    newest = Language("logplex", "dyno-logplex", newest=2, oldest=2)
    monkeypatch.setattr("router.lines.LOGPLEX", newest)

    async def test():
        plex = Plex(str(tmp_path / "logs"))
        door = Door(plex, HostLink(str(tmp_path / "host.sock"), plex))

        @contextlib.asynccontextmanager
        async def logplex(house, language):
            server = await serve(log_socket(house.run), door.answer, notified=door, language=language)
            try:
                yield
            finally:
                server.close()
                house.worker.lines._link.drop()

        def lines():
            return [record.text for _, record in plex.ask(Ask(LogQuery("app-id", lines=9)))]

        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(backend), timers=PATIENT, logplex=False) as house:
            router = house.worker.lines
            async with logplex(house, LOGPLEX):
                await turns(lambda: router._refused)
                assert "keeping access lines: cannot understand dynod" in caplog.text
                await house.ask()
                router.take()
                assert (len(router._waiting), lines()) == (1, [])
            async with logplex(house, newest):
                await turns(lines)
                (line,) = lines()
                assert " status=200 " in line
        plex.close()

    run(test)


def test_what_a_stranger_says_is_not_heard_and_a_router_without_a_hello_is_of_the_first_version(tmp_path):
    async def test():
        heard, got = [], asyncio.Queue()
        link = RouterLink(Settings(state=str(tmp_path / "s"), run=str(tmp_path)), heard.append, print)
        link.publish(RouteTable(1))
        await link.open()
        where = routes_socket(str(tmp_path))
        stranger = await connect(where, got.put_nowait, language=Language("control plane", "dynod", newest=9))
        while (await got.get()).method != "refused":
            pass
        await stranger.notify("wake", ["stranger's"])
        await stranger.close()
        plain = await connect(where)
        await plain.notify("wake", ["plain's"])
        await turns(lambda: heard)
        assert heard == ["plain's"]
        await plain.close()
        await turns(lambda: not link.workers)
        await link.close()

    run(test)
