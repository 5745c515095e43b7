"""Tables in and wakes out, while the control plane comes and goes; lines out, while logplex does."""

import asyncio
from dataclasses import replace

from dynod.model.route import AppRoute, RouteTable, Standing
from dynod.wire import table as table_codec
from dynod.wire.rpc import Notification, encode
from dynod.wire.table import change
from router.balance import Target
from tests.router.routing import (
    GET,
    FakeControl,
    FakeDyno,
    FakeLogplex,
    controlled,
    run,
    running,
    serving,
    table,
    turns,
)

OTHER = b"GET / HTTP/1.1\r\nHost: other.localhost\r\n\r\n"


async def swapped(house, generation: int) -> None:
    """Wait until the worker routes by a table, hearing of each it takes."""
    proxy = house.worker.proxy
    came = asyncio.Event()
    swap = proxy.swap

    def heard(new: RouteTable) -> list[Target]:
        leaving = swap(new)
        came.set()
        return leaving

    house.worker._link._swap = heard
    while proxy.routes.table.generation != generation:
        came.clear()
        await came.wait()


def test_the_table_on_the_disk_serves_without_a_control_plane():
    async def test():
        async with serving() as (house, _):
            assert (await house.ask()).status == 200

    run(test)


def test_a_spoilt_table_on_the_disk_is_no_table():
    async def test():
        async with running() as house:
            with open(f"{house.state}/router/table", "wb") as file:
                file.write(b"\x93\x01")
            assert house.worker._link.last_table(house.state) is None
            assert house.worker._link.last_table("/nowhere") is None

    run(test)


def test_tables_arrive_and_a_lost_control_plane_changes_nothing_until_it_is_back():
    async def test():
        async with serving() as (house, dyno):
            control = FakeControl(house.run)
            control.publish(replace(table(dyno.backend, hosts=("other.localhost",)), generation=2))
            await control.open()
            await swapped(house, 2)
            async with await house.connect() as connection:
                assert (await connection.ask(GET)).status == 404
                assert (await connection.ask(OTHER)).status == 200
                await control.close()
                assert (await connection.ask(OTHER)).status == 200
                control.publish(replace(table(dyno.backend), generation=3))
                await control.open()
                await swapped(house, 3)
                assert (await connection.ask(GET)).status == 200
            await control.close()

    run(test)


def test_a_spoilt_table_is_not_taken_and_nonsense_ends_the_connection(caplog):
    async def test():
        async with serving() as (house, dyno):
            control = FakeControl(house.run)
            control.bytes = b"\x93\x02\xa5table\xc4\x01x"
            await control.open()
            await turns(lambda: "keeping the old table" in caplog.text)
            assert (await house.ask()).status == 200
            assert control.wakes.empty()  # nor said to be in force
            control.publish(replace(table(dyno.backend), generation=2))
            await swapped(house, 2)
            control.opened.clear()
            for writer in control._writers:
                writer.write(b"\xc1\xc1")
            await control.opened.wait()  # it hung up, and came again
            assert (await house.ask()).status == 200
            await control.close()

    run(test)


def test_requests_wait_for_a_dyno_that_boots():
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(standing=Standing.BOOTING)) as house:
            control = await controlled(house)
            connections = [await house.connect() for _ in range(5)]
            for connection in connections:
                connection.writer.write(
                    b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\n\r\n" + GET
                )
            proxy = house.worker.proxy
            await turns(lambda: len(proxy.waiting.held) == 5)
            control.publish(replace(table(backend), generation=2))
            for connection in connections:
                assert (await connection.response()).body == b"hello"
                assert (await connection.response()).body == b"hello"
                connection.writer.transport.abort()
            assert not proxy.waiting.held
            await control.close()
        await dyno.close()

    run(test)


def test_what_becomes_of_those_who_wait_when_the_app_crashes_or_goes():
    async def test():
        for then, code in ((table(standing=Standing.CRASHED), "H10"), (RouteTable(), "H99")):
            async with running(table(standing=Standing.BOOTING)) as house:
                control = await controlled(house)
                async with await house.connect() as connection:
                    connection.writer.write(GET)
                    await turns(lambda house=house: house.worker.proxy.waiting.held)
                    control.publish(replace(then, generation=2))
                    assert (await connection.response()).status == 503
                assert f" code={code} " in await house.logplex.line()
                await control.close()

    run(test)


def test_a_sleeping_app_is_woken_once_and_asked_for_again_when_the_control_plane_is_back():
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(standing=Standing.IDLE)) as house:
            control = await controlled(house)
            connections = [await house.connect() for _ in range(3)]
            for connection in connections:
                connection.writer.write(GET)
            assert await control.wakes.get() == Notification("wake", ["app-id"])
            await turns(lambda: len(house.worker.proxy.waiting.held) == 3)
            await control.close()
            await control.open()
            assert await control.wakes.get() == Notification("wake", ["app-id"])
            assert control.wakes.empty()
            control.publish(replace(table(standing=Standing.BOOTING), generation=2))
            control.publish(replace(table(backend), generation=3))
            for connection in connections:
                assert (await connection.response()).body == b"hello"
                connection.writer.transport.abort()
            await control.close()
        await dyno.close()

    run(test)


def test_a_client_that_waits_may_go_away():
    async def test():
        async with running(table(standing=Standing.BOOTING)) as house:
            async with await house.connect() as connection:
                connection.writer.write(GET)
                await turns(lambda house=house: house.worker.proxy.waiting.held)
            line = await house.logplex.line()
            assert line.startswith("sock=client at=warning code=H27 ")
            assert " dyno= connect= service= status=499 bytes= " in line
            assert not house.worker.proxy.waiting.held

    run(test)


def test_a_dyno_that_leaves_the_table_finishes_what_it_has():
    async def test():
        let = asyncio.Event()

        async def slow(head, reader, writer):
            await let.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            return True

        new = FakeDyno()
        backend = await new.open(dyno="web.2")
        async with serving(slow) as (house, old):
            control = await controlled(house)
            async with await house.connect() as connection, await house.connect() as second:
                connection.writer.write(GET)
                await turns(lambda: old.heads)
                control.publish(replace(table(backend), generation=2))
                await swapped(house, 2)
                assert (await second.ask()).body == b"hello"
                assert control.wakes.empty()  # the control plane stops the dyno once it hears "applied"
                let.set()
                assert (await connection.response()).body == b"ok"
                assert (await control.wakes.get()).params == [2]
                await turns(lambda: not old._writers)  # and is not kept in touch with
                assert (await connection.ask()).body == b"hello"
            await control.close()
        await new.close()

    run(test)


# -- lines -----------------------------------------------------------------------------------------------------------


def test_lines_wait_for_logplex_and_none_is_lost():
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(backend), logplex=False) as house:
            async with await house.connect() as connection:
                for _ in range(300):
                    await connection.ask()
            await house.logplex.open()
            assert len(await house.logplex.wait(300)) == 300
            await house.logplex.close()
        await dyno.close()

    run(test)


def test_what_cannot_wait_is_dropped_and_counted(monkeypatch):
    monkeypatch.setattr("router.lines.WAITING", 100)

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(backend), logplex=False) as house:
            async with await house.connect() as connection:
                for _ in range(500):
                    await connection.ask()
            house.worker.lines._flush()
            assert house.worker.lines.dropped >= 300
            await house.logplex.open()
            dropped = house.worker.lines.dropped
            rows = await house.logplex.wait(1 + 500 - dropped)
            assert len(rows) == 1 + 500 - dropped
            assert rows[0][2:4] == ["heroku", "logplex"]
            assert rows[0][4].startswith(f"Error L12: {dropped} messages dropped since 20")
            assert all(row[3] == "router" for row in rows[1:])
            await house.logplex.close()
        await dyno.close()

    run(test)


def test_a_logplex_that_does_not_read_slows_nobody(monkeypatch):
    monkeypatch.setattr("router.reconnect.FULL", 1)
    monkeypatch.setattr("router.lines.WAITING", 100)

    class Deaf(FakeLogplex):
        """Does not read until it is told to."""

        def __init__(self, run_dir):
            super().__init__(run_dir)
            self.hears = asyncio.Event()

        async def _serve(self, reader, writer):
            writer.transport.pause_reading()
            await self.hears.wait()
            writer.transport.resume_reading()
            await super()._serve(reader, writer)

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(backend), logplex=False) as house:
            deaf = Deaf(house.run)
            await deaf.open()
            async with await house.connect() as connection:
                path = b"/" + b"x" * 2000
                for _ in range(1500):
                    assert (await connection.ask(GET.replace(b"/", path, 1))).status == 200
            house.worker.lines._flush()
            assert house.worker.lines.dropped > 0
            assert len(house.worker.lines._waiting) <= 100
            dropped = house.worker.metrics.dropped
            assert dropped == house.worker.lines.dropped
            assert house.worker.metrics.lines == 1500
            deaf.hears.set()
            rows = await deaf.wait(1 + 1500 - dropped)  # without another request
            told = [row[4] for row in rows if row[3] == "logplex"]
            assert len(told) == 1
            assert told[0].startswith(f"Error L12: {dropped} messages dropped since 20")
            assert len(rows) == 1 + 1500 - dropped
            await deaf.close()
        await dyno.close()

    run(test)


def many(count, backend, **other) -> RouteTable:
    """So many apps at one dyno; `other`: app -> standing."""
    apps = {
        f"id{n}": AppRoute(
            f"id{n}", f"app{n}", other.get(f"id{n}", Standing.SERVING), (replace(backend, id=f"b{n}"),)
        )
        for n in range(count)
    }
    return RouteTable(1, apps, {f"app{n}.localhost": f"id{n}" for n in range(count)})


def asked(n):
    return GET.replace(b"app.", b"app%d." % n)


def test_what_is_different_in_the_next_table_is_enough():
    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        before = many(3, backend)
        async with running(before) as house:
            control = FakeControl(house.run)
            control.publish(before)
            await control.open()
            assert await control.wakes.get() == Notification("applied", [1])
            kept = house.worker.proxy.routes.targets_of["id0"]
            after = replace(
                before,
                generation=2,
                apps={
                    "id0": before.apps["id0"],
                    "id1": replace(before.apps["id1"], standing=Standing.CRASHED),
                },
                hosts={"app0.localhost": "id0", "app1.localhost": "id1", "new.localhost": "id0"},
            )
            control.send(encode(Notification("change", change(before, after))))
            assert await control.wakes.get() == Notification("applied", [2])
            statuses = [(await house.ask(asked(n))).status for n in range(3)]
            assert statuses == [200, 503, 404]
            assert (await house.ask(GET.replace(b"app.", b"new."))).status == 200
            assert house.worker.proxy.routes.targets_of["id0"] is kept
            assert set(house.worker.proxy.routes.queues) == {"id0", "id1"}
            await control.close()
        await dyno.close()

    run(test)


def test_a_change_of_another_table_than_ours_has_a_whole_one_sent():
    async def test():
        dyno = FakeDyno()
        before = many(2, await dyno.open())
        async with running(before) as house:
            control = FakeControl(house.run)
            control.publish(before)
            await control.open()
            assert await control.wakes.get() == Notification("applied", [1])
            foreign = replace(before, generation=7)
            control.bytes = encode(Notification("table", table_codec.encode(replace(before, generation=9))))
            control.send(encode(Notification("change", change(foreign, replace(foreign, generation=8)))))
            assert await control.wakes.get() == Notification("applied", [9])  # on another connection
            await control.close()
        await dyno.close()

    run(test)


def test_a_large_table_is_taken_between_the_requests_of_others(monkeypatch):
    monkeypatch.setattr("router.link.AT_ONCE", 0.0)

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(many(1, backend)) as house, await house.connect() as connection:
            control = await controlled(house)
            link = house.worker._link
            control.send(
                encode(Notification("table", table_codec.encode(replace(many(3000, backend), generation=2))))
            )
            # Of no use.
            control.send(encode(Notification("change", change(many(0, backend), many(0, backend)))))
            await turns(lambda: link._reading is not None)
            assert (await connection.ask(asked(0))).status == 200
            assert link._reading is not None  # still at it
            assert await control.wakes.get() == Notification("applied", [2])
            assert (await house.ask(asked(2999))).status == 200
            await control.close()
        await dyno.close()

    run(test)
