"""Requests that wait for an app's first dyno: as many as one dyno would have, no more of each than a buffer, and none is forgotten."""

from dataclasses import replace

import pytest

from dynod.model.route import AppRoute, Standing
from router.server import HIGH
from tests.router.routing import GET, HELLO, FakeDyno, controlled, run, running, table, turns
from tests.router.test_router_queue import TWO, asked


def test_requests_that_waited_for_boot_are_let_in_by_and_by_and_none_is_refused():
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        limits = replace(TWO, backlog=18)
        async with running(table(standing=Standing.BOOTING, limits=limits)) as house:
            control = await controlled(house)
            clients = [await asked(house, number) for number in range(20)]
            await turns(lambda: len(house.worker.proxy.waiting.held) == 20)
            control.publish(replace(table(backend, limits=limits), generation=2))
            for client in clients:
                assert (await client.response()).status == 200
            assert dyno.connections <= 2

    run(test)


@pytest.mark.parametrize("standing", [Standing.BOOTING, Standing.IDLE])
def test_as_many_wait_for_a_boot_as_one_dyno_has_under_way_and_queued_and_the_next_is_h11(standing):
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        other = AppRoute("other", "other", standing)
        first = table(standing=standing, limits=TWO)
        first = replace(
            first, apps={**first.apps, "other": other}, hosts={**first.hosts, "other.test": "other"}
        )
        async with running(first) as house:
            control = await controlled(house)
            held = house.worker.proxy.waiting.held
            clients = [await asked(house, number) for number in range(3)]
            await turns(lambda: len(held) == 3)
            async with await house.connect() as connection:
                refused = await connection.ask()
                assert (refused.status, refused.get("Connection")) == (503, "keep-alive")
                line = await house.logplex.line()
                assert line.startswith('at=error code=H11 desc="Backlog too deep" method=GET path="/" ')
                connection.writer.write(GET.replace(b"app.localhost", b"other.test"))  # that is not full
                await turns(lambda: len(held) == 4)
            await turns(lambda: len(held) == 3)
            clients.pop().writer.transport.abort()  # whose place is another's then
            await turns(lambda: len(held) == 2)
            clients.append(await asked(house, 3))
            await turns(lambda: len(held) == 3)
            control.publish(replace(first, generation=2, limits=replace(TWO, in_flight=1)))
            await turns(lambda: house.worker.proxy.waiting.limits.in_flight == 1)
            assert len(held) == 3  # a new table turns nobody away
            control.publish(replace(table(backend, limits=TWO), generation=3))
            for client in clients:
                assert (await client.response()).status == 200
            assert not held

    run(test)


def test_what_one_sends_while_it_waits_for_a_boot_is_bounded_and_arrives_in_the_end():
    size = 10 * 2**20
    got = []

    async def answer(head, reader, writer):
        got.append(await reader.readexactly(size))
        writer.write(HELLO)
        return True

    async def test():
        dyno = FakeDyno(answer)
        backend = await dyno.open()
        async with running(table(standing=Standing.BOOTING)) as house, await house.connect() as connection:
            control = await controlled(house)
            connection.writer.write(
                b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: %d\r\n\r\n" % size
            )
            connection.writer.write(b"x" * size)
            await turns(lambda: house.worker.proxy.waiting.held)
            (client,) = house.worker.proxy.waiting.held
            await turns(lambda: not client._reading)
            assert HIGH <= len(client._buffer) < HIGH + 2**19
            control.publish(replace(table(backend), generation=2))
            assert (await connection.response()).status == 200
            assert got == [b"x" * size]

    run(test)
