"""vegur's cases of looking up, queueing and refusing: each standing of an app, each way in which there is no dyno."""

import asyncio
import re
from dataclasses import replace

import pytest

from dynod.model.route import Limits, RouteTable, Standing
from tests.router.routing import (
    GET,
    QUICK,
    FakeDyno,
    closed_port,
    controlled,
    run,
    running,
    serving,
    table,
    turns,
)
from tests.router.vegur import get


async def refused(house, status: int, code: str, data: bytes = GET) -> None:
    assert (await house.ask(data)).status == status
    assert f" code={code} " in await house.logplex.line()


@pytest.mark.parametrize(
    ("standing", "status", "code"),
    [
        pytest.param(Standing.MAINTENANCE, 503, "H80", id="request.maintainance_mode_on"),
        pytest.param(Standing.NO_WEB, 503, "H14", id="request.no_web_processes"),
        pytest.param(Standing.CRASHED, 503, "H10", id="request.crashed"),
        pytest.param(Standing.BOOTING, 503, "H20", id="request.backends_starting"),
        pytest.param(Standing.BLANK, 502, "H81", id="request.app_blank"),
    ],
)
def test_case(standing, status, code):
    async def test():
        async with running(table(standing=standing), timers=replace(QUICK, boot=0.05)) as house:
            await refused(house, status, code)

    run(test)


def test_request_backends_idle():
    """A sleeping app is woken, and the request that did it is served."""

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(standing=Standing.IDLE)) as house:
            control = await controlled(house)
            asked = asyncio.ensure_future(house.ask())
            while (await control.wakes.get()).method != "wake":
                pass
            control.publish(replace(table(backend), generation=2))
            assert (await asked).body == b"hello"

    run(test)


def test_request_backends_quarantined():
    async def test():
        async with running(table(closed_port()), timers=replace(QUICK, boot=0.05)) as house:
            await refused(house, 503, "H21")
            await refused(house, 503, "H34")

    run(test)


def held(go):
    """A dyno that answers nothing until `go` is set."""

    async def answer(head, reader, writer):
        await go.wait()
        return False

    return answer


def test_request_backlog_too_deep():
    async def test():
        go = asyncio.Event()
        async with serving(held(go), limits=Limits(in_flight=1, backlog=0)) as (house, dyno):
            async with await house.connect() as connection:
                connection.writer.write(GET)
                await turns(lambda: dyno.heads)
                await refused(house, 503, "H11")
            go.set()

    run(test)


def test_request_backlog_timeout():
    async def test():
        go = asyncio.Event()
        limits = Limits(in_flight=1, backlog=1)
        async with serving(held(go), limits=limits, timers=replace(QUICK, boot=0.05)) as (house, dyno):
            async with await house.connect() as connection:
                connection.writer.write(GET)
                await turns(lambda: dyno.heads)
                await refused(house, 503, "H11")
            go.set()

    run(test)


def test_request_conn_limit_reached():
    async def answer(head, reader, writer):
        writer.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
        await reader.read()
        return False

    async def test():
        upgrade = get(b"Connection: Upgrade\r\nUpgrade: websocket\r\n")
        async with (
            serving(answer, limits=Limits(tunnels=1)) as (house, _),
            await house.connect() as connection,
        ):
            assert (await connection.ask(upgrade, head_only=True)).status == 101
            await refused(house, 503, "H22", upgrade)

    run(test)


def test_request_no_route():
    """The dyno that was chosen is gone before it was reached: another one is taken, here there is none."""

    async def test():
        async with running(table(closed_port())) as house:
            await refused(house, 503, "H21")

    run(test)


@pytest.mark.parametrize("case", ["app_not_found", "app_lookup_failed", "route_lookup_failed"])
def test_request_lookups(case):
    """request.app_not_found, request.app_lookup_failed, request.route_lookup_failed: nobody's log, and no 404 by mistake."""

    async def test():
        first = {
            "app_not_found": RouteTable(1),
            "app_lookup_failed": None,  # this router never had a table
            "route_lookup_failed": RouteTable(1, {}, {"app.localhost": "gone"}),
        }[case]
        async with running(first) as house:
            response = await house.ask()
            assert response.status == (503 if case == "app_lookup_failed" else 404)
            assert (b"No such app" in response.body) is (case != "app_lookup_failed")
            assert house.logplex.rows == []

    run(test)


def test_proxy_service_try_again():
    """A dyno that refuses the connection is left alone for a while; the request is served by the next."""

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open("127.0.0.2", "web.2")
        async with running(table(closed_port(), backend)) as house:
            for _ in range(20):
                assert (await house.ask()).body == b"hello"
            rows = [row[4] for row in await house.logplex.wait(20)]
            assert {re.search(r" dyno=(\S+) ", row)[1] for row in rows} == {"web.2"}
            assert all(row.startswith("at=info ") for row in rows)

    run(test)
