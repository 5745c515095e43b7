"""So many requests at a dyno and no more; the others wait in their order, and when too many wait the next one is H11."""

import asyncio
import random
import re
import socket
from dataclasses import replace
from types import SimpleNamespace

import pytest

from dynod.model.route import Backend, Limits
from router.balance import NO_LIMIT, Queue, Target, checkin, checkout, quarantined, share, too_deep
from router.waiting import Waiting
from tests.router.routing import GET, HELLO, QUICK, FakeDyno, controlled, run, running, serving, table, turns

TWO = Limits(in_flight=2, backlog=1)
UNTIMED = replace(QUICK, tick=1000.0)  # nothing happens but by what ends
UPGRADE = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
SWITCH = b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"

# -- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("whole", "workers", "shares"),
    [
        (50, 1, [50]),
        (50, 2, [25, 25]),
        (50, 4, [13, 13, 12, 12]),
        (2, 4, [1, 1, 1, 1]),
        (0, 2, [NO_LIMIT, NO_LIMIT]),
    ],
)
def test_the_workers_shares_are_the_whole_and_nobodys_is_nothing(whole, workers, shares):
    assert [share(whole, which, workers) for which in range(workers)] == shares


@pytest.mark.parametrize(
    ("waiting", "dynos", "limits", "most", "deep"),
    [
        (49, 1, Limits(50, 50), 50, False),
        (50, 1, Limits(50, 50), 50, True),
        (149, 3, Limits(50, 50), 50, False),
        (150, 3, Limits(50, 50), 50, True),
        (74, 1, Limits(50, 50), 25, False),  # the worker has half of the places
        (75, 1, Limits(50, 50), 25, True),
        (0, 1, Limits(50, 0), 50, True),
        (10**6, 1, Limits(0, 0), NO_LIMIT, False),
    ],
)
def test_when_one_more_may_not_wait(waiting, dynos, limits, most, deep):
    assert too_deep(waiting, dynos, limits, most) is deep


def test_a_full_dyno_is_passed_over_and_all_full_is_none():
    one, two = (Target(Backend(f"id{n}", f"web.{n}", "127.0.0.1", n)) for n in (1, 2))
    for target in (one, two):
        target.limit(2, Queue())
    got = [checkout((one, two), 0.0, random.Random(3).random) for _ in range(5)]
    assert got[4] is None
    assert sorted(target.backend.dyno for target in got[:4]) == ["web.1", "web.1", "web.2", "web.2"]
    checkin(one)
    assert [checkout((one, two), 0.0, random.random) for _ in range(2)] == [one, None]


def test_full_is_not_quarantined_and_a_quarantine_that_ends_gives_the_room_back():
    target = Target(Backend("id", "web.1", "127.0.0.1", 1))
    target.limit(1, Queue())
    assert checkout((target,), 0.0, random.random) is target
    assert not quarantined((target,), 0.0)
    checkin(target)
    target.quarantined_until = 5.0
    assert quarantined((target,), 4.9)
    assert checkout((target,), 4.9, random.random) is None
    assert checkout((target,), 5.0, random.random) is target


# -- what becomes of them --------------------------------------------------------------------------------------------


class Slow(FakeDyno):
    """Answers in the order it is told to, with the path; `at` are the requests that wait here."""

    def __init__(self):
        super().__init__(self._hold)
        self.at: dict[str, asyncio.Event] = {}
        self.most = 0

    async def _hold(self, head, reader, writer):
        path = head.split(b" ")[1].decode()
        done = self.at[path] = asyncio.Event()
        self.most = max(self.most, len(self.at))
        await done.wait()
        del self.at[path]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path.encode()))
        return True

    async def has(self, *paths):
        await turns(lambda: set(self.at) == set(paths))


async def asked(house, number):
    connection = await house.connect()
    connection.writer.write(b"GET /%d HTTP/1.1\r\nHost: app.localhost\r\n\r\n" % number)
    return connection


def waiting(house):
    return house.worker.proxy.routes.find(b"app.localhost").targets[0].queue


def test_those_that_wait_are_served_in_their_order_and_one_too_many_is_h11():
    async def test():
        dyno = Slow()
        async with running(table(await dyno.open(), limits=TWO), timers=UNTIMED) as house:
            clients = [await asked(house, 1), await asked(house, 2)]
            await dyno.has("/1", "/2")
            clients.append(await asked(house, 3))
            await turns(lambda: len(waiting(house)) == 1)
            refused = await (await asked(house, 4)).response()
            assert (refused.status, refused.get("Connection")) == (503, "keep-alive")
            line = await house.logplex.line()
            assert line.startswith('at=error code=H11 desc="Backlog too deep" method=GET path="/4" ')
            assert line.endswith("dyno= connect= service= status=503 bytes= protocol=http1.1 tls=false")
            dyno.at["/2"].set()
            await dyno.has("/1", "/3")
            assert (await clients[1].response()).body == b"/2"
            clients.append(await asked(house, 5))
            await turns(lambda: len(waiting(house)) == 1)
            for path in ("/1", "/3"):
                dyno.at[path].set()
            await dyno.has("/5")
            dyno.at["/5"].set()
            assert (await clients[3].response()).body == b"/5"
            assert dyno.most == 2
            rows = [row[4] for row in await house.logplex.wait(4)]
            assert all(" status=200 " in row for row in rows)

    run(test)


def test_every_one_of_many_more_than_there_is_room_for_is_served_in_turn():
    async def test():
        order = []

        async def answer(head, reader, writer):
            order.append(int(head.split(b" ")[1][1:]))
            writer.write(HELLO)
            return True

        async with serving(answer, limits=Limits(in_flight=3, backlog=100), timers=UNTIMED) as (house, dyno):
            connections = [await asked(house, number) for number in range(100)]
            for connection in connections:
                assert (await connection.response()).body == b"hello"
            assert sorted(order) == list(range(100))
            assert dyno.connections <= 3
            target = house.worker.proxy.routes.find(b"app.localhost").targets[0]
            assert (target.in_flight, len(target.queue)) == (0, 0)
            assert not house.worker.proxy.waiting.held

    run(test)


def test_the_wait_counts_as_connect_time():
    async def test():
        dyno = Slow()
        async with running(table(await dyno.open(), limits=replace(TWO, in_flight=1))) as house:
            await asked(house, 1)
            await dyno.has("/1")
            connection = await asked(house, 2)
            await turns(lambda: waiting(house))
            exchange = next(iter(waiting(house).values()))
            exchange.started -= 7  # as if it had come so long ago
            dyno.at["/1"].set()
            await dyno.has("/2")
            dyno.at["/2"].set()
            await connection.response()
            line = (await house.logplex.wait(2))[1][4]
            assert 7000 <= int(re.search(r"connect=(\d+)ms", line)[1]) < 15_000

    run(test)


def test_who_goes_away_from_the_queue_leaves_its_place_to_the_next():
    async def test():
        dyno = Slow()
        async with running(table(await dyno.open(), limits=replace(TWO, in_flight=1))) as house:
            await asked(house, 1)
            await dyno.has("/1")
            leaver = await asked(house, 2)
            await turns(lambda: len(waiting(house)) == 1)
            leaver.writer.transport.abort()
            assert " code=H27 " in await house.logplex.line()
            assert not waiting(house)
            stayer = await asked(house, 3)
            await turns(lambda: len(waiting(house)) == 1)
            dyno.at["/1"].set()
            await dyno.has("/3")
            dyno.at["/3"].set()
            assert (await stayer.response()).body == b"/3"

    run(test)


def test_who_waits_too_long_is_h11():
    async def test():
        dyno = Slow()
        limits = replace(TWO, in_flight=1)
        async with running(
            table(await dyno.open(), limits=limits), timers=replace(QUICK, boot=0.05)
        ) as house:
            await asked(house, 1)
            await dyno.has("/1")
            assert (await (await asked(house, 2)).response()).status == 503
            assert ' code=H11 desc="Backlog too deep" ' in await house.logplex.line()

    run(test)


def test_a_request_that_is_tried_again_stands_before_those_that_wait():
    """It was in already: a stale connection is nobody's fault, and no reason to go to the end of the queue."""

    async def test():
        dyno = Slow()
        backend = await dyno.open()
        async with running(table(backend, limits=Limits(in_flight=1, backlog=5))) as house:
            first = await asked(house, 1)
            await dyno.has("/1")
            proxy = house.worker.proxy
            client = next(iter(proxy._clients))
            client.dyno.served = 1
            others = [await asked(house, 2)]
            await turns(lambda: len(waiting(house)) == 1)
            dyno.hang_up()
            await turns(lambda: len(dyno.heads) == 2)
            assert dyno.heads[1].startswith(b"GET /1 ")
            for path in ("/1", "/2"):
                await turns(lambda path=path: path in dyno.at)
                dyno.at[path].set()
            assert (await first.response()).body == b"/1"
            assert (await others[0].response()).body == b"/2"

    run(test)


def test_a_request_whose_dyno_did_not_take_it_stands_before_those_that_came_later():
    async def test():
        dyno = Slow()
        backend = await dyno.open()
        limits = Limits(in_flight=1, backlog=5)
        with socket.socket() as listener:  # its queue is full: further connections hang
            listener.bind(("127.0.0.2", 0))
            listener.listen(0)
            deaf = Backend("deaf", "web.2", *listener.getsockname())
            fill = [socket.socket() for _ in range(3)]
            for one in fill:
                one.setblocking(False)
                one.connect_ex(listener.getsockname())
            async with running(table(backend, limits=limits), timers=replace(QUICK, connect=0.1)) as house:
                control = await controlled(house)
                await asked(house, 1)
                await dyno.has("/1")
                control.publish(replace(table(backend, deaf, limits=limits), generation=2))
                await turns(lambda: house.worker.proxy.routes.table.generation == 2)
                await asked(house, 2)
                await turns(lambda: house.worker.proxy.connecting.tasks)
                await asked(house, 3)
                await turns(lambda: len(waiting(house)) == 1)
                await turns(lambda: len(waiting(house)) == 2)
                dyno.at["/1"].set()
                await dyno.has("/2")
                dyno.at["/2"].set()
                await dyno.has("/3")
                dyno.at["/3"].set()
            for one in fill:
                one.close()

    run(test)


def test_a_new_table_keeps_the_order_and_turns_nobody_away():
    async def test():
        dyno = Slow()
        backend = await dyno.open()
        first = table(backend, limits=Limits(in_flight=1, backlog=3))
        async with running(first) as house:
            control = await controlled(house)
            clients = [await asked(house, 1)]
            await dyno.has("/1")
            for number in (2, 3, 4):
                clients.append(await asked(house, number))
                await turns(lambda number=number: len(waiting(house)) == number - 1)
            control.publish(replace(first, generation=2, limits=Limits(in_flight=1, backlog=1)))
            await turns(lambda: house.worker.proxy.waiting.limits.backlog == 1)
            for number, client in enumerate(clients, 1):
                await turns(lambda number=number: f"/{number}" in dyno.at)
                assert len(dyno.at) == 1
                dyno.at[f"/{number}"].set()
                assert (await client.response()).body == b"/%d" % number
            assert dyno.most == 1

    run(test)


def test_a_second_dyno_takes_those_that_wait_for_the_first():
    async def test():
        dynos = [Slow(), Slow()]
        backends = [await dyno.open(f"127.0.0.{n}", f"web.{n}") for n, dyno in enumerate(dynos, 2)]
        limits = Limits(in_flight=1, backlog=3)
        async with running(table(backends[0], limits=limits)) as house:
            control = await controlled(house)
            await asked(house, 1)
            await dynos[0].has("/1")
            await asked(house, 2)
            await turns(lambda: waiting(house))
            control.publish(replace(table(*backends, limits=limits), generation=2))
            await dynos[1].has("/2")

    run(test)


def test_those_that_fail_at_once_when_let_in_do_not_go_down_the_stack():
    queue, begun = Queue(), []
    target = Target(Backend("id", "web.1", "127.0.0.1", 1))
    target.limit(1, queue)
    site = SimpleNamespace(targets=(target,))

    def start(client, exchange, now):
        begun.append(client)
        waiting.let_go(client, exchange)
        waiting.admit(queue, now)  # it failed

    waiting = Waiting(75.0, start, lambda app: None)
    for _ in range(5_000):
        exchange = SimpleNamespace(site=site, retried=False, tries=0, give_up=None, queue=None)
        assert waiting.line_up(type("Client", (), {})(), exchange, 0.0) is None
    waiting.admit(queue, 0.0)
    assert len(begun) == len(set(begun)) == 5_000
    assert not waiting.held


def test_a_websocket_holds_no_place_but_too_many_of_them_are_h22():
    async def answer(head, reader, writer):
        if b"websocket" not in head:
            writer.write(HELLO)
            return True
        writer.write(SWITCH)
        while data := await reader.read(100):
            writer.write(data)
        return False

    async def test():
        async with serving(answer, limits=Limits(in_flight=1, backlog=1, tunnels=3)) as (house, _):
            tunnels = [await house.connect() for _ in range(3)]
            for tunnel in tunnels:
                assert (await tunnel.ask(UPGRADE, head_only=True)).status == 101
            assert (await house.ask()).body == b"hello"
            await house.logplex.wait(1)
            house.logplex.rows.clear()
            assert (await house.ask(UPGRADE)).status == 503
            assert 'at=error code=H22 desc="Connection limit reached" ' in await house.logplex.line()
            tunnels[0].writer.write(b"ping")
            assert await tunnels[0].reader.readexactly(4) == b"ping"
            target = house.worker.proxy.routes.find(b"app.localhost").targets[0]
            assert (target.in_flight, target.tunnels) == (0, 3)
            tunnels[0].writer.transport.abort()
            await turns(lambda: target.tunnels == 2)
            async with await house.connect() as again:
                assert (await again.ask(UPGRADE, head_only=True)).status == 101
            for tunnel in tunnels:
                tunnel.writer.transport.abort()
            await turns(lambda: target.tunnels == 0)

    run(test)
