"""What goes on as it is (Proxy.forward, Dyno._answered) ends as all the rest does: for hosts that are known, over connections that were kept."""

import contextlib
from dataclasses import replace

import pytest

from dynod.model.route import Limits, RouteTable
from tests.router.routing import canned, controlled, run, running, serving, table, turns
from tests.router.test_router_queue import UNTIMED, Slow, asked, waiting

pytestmark = pytest.mark.usefixtures("either_reader")  # and as it does where nothing was compiled


def test_one_that_waits_goes_on_as_the_table_wants_it_by_then():
    async def test():
        dyno = Slow()
        one = table(await dyno.open(), limits=Limits(in_flight=1, backlog=5))
        closing = {
            "app-id": replace(one.apps["app-id"], features=frozenset({"http-disable-keepalive-to-dyno"}))
        }
        async with running(one, timers=UNTIMED) as house:
            control = await controlled(house)
            await asked(house, 1)
            await dyno.has("/1")
            client = await asked(house, 2)
            await turns(lambda: waiting(house))
            control.publish(replace(one, generation=2, apps=closing))
            await turns(lambda: house.worker.proxy.routes.table.generation == 2)
            dyno.at["/1"].set()
            await dyno.has("/2")
            dyno.at["/2"].set()
            assert (await client.response()).body == b"/2"
            assert b"\r\nConnection: close\r\n" not in dyno.heads[0]
            assert b"\r\nConnection: close\r\n" in dyno.heads[1]

    run(test)


def test_a_connection_to_a_dyno_that_has_left_the_table_ends_with_its_request():
    async def test():
        dyno = Slow()
        one = table(await dyno.open(), limits=Limits(in_flight=1, backlog=5))
        async with running(one, timers=UNTIMED) as house:
            control = await controlled(house)
            for number in (1, 2):
                client = await asked(house, number)
                await dyno.has(f"/{number}")
                if number == 2:
                    control.publish(RouteTable(2))
                    await turns(lambda: house.worker.proxy.routes.table.generation == 2)
                dyno.at[f"/{number}"].set()
                assert (await client.response()).body == b"/%d" % number
            await turns(lambda: not dyno._writers)

    run(test)


def test_what_a_client_sends_ahead_of_an_answer_is_taken_after_it():
    async def test():
        dyno = Slow()
        async with running(table(await dyno.open()), timers=UNTIMED) as house:
            first = await asked(house, 9)  # a host that is known has a quicker way
            await dyno.has("/9")
            dyno.at["/9"].set()
            await first.response()
            await first.close()
            await turns(lambda: not house.worker.proxy._clients)
            client = await asked(house, 0)
            for number in range(3):
                await dyno.has(f"/{number}")
                client.writer.write(b"GET /%d HTTP/1.1\r\nHost: app.localhost\r\n\r\n" % (number + 1))
                (own,) = house.worker.proxy._clients
                await turns(lambda own=own: own._buffer)
                dyno.at[f"/{number}"].set()
                assert (await client.response()).body == b"/%d" % number
                await turns(lambda own=own: not own._buffer)

    run(test)


def test_a_dyno_that_says_close_is_taken_at_its_word():
    async def test():
        said = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
        async with serving(canned(said)) as (house, dyno), await house.connect() as connection:
            for _ in range(3):
                assert (await connection.ask()).body == b"hello"
            assert dyno.connections == 3  # though it would take more on each

    run(test)


def test_an_idle_connection_that_is_about_to_end_is_not_used():
    """The loop says so to us a turn later than to the transport; and this request must not go twice."""

    async def test():
        async with serving() as (house, dyno), await house.connect() as connection:
            await connection.ask()
            (client,) = house.worker.proxy._clients
            (idle,) = house.worker.proxy.routes.find(b"app.localhost").targets[0].idle
            idle.transport.abort()
            client.data_received(b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\n\r\n")
            assert (await connection.response()).status == 200
            assert dyno.connections == 2

    run(test)


POST = b"POST /%d HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: %d\r\nX-Request-Id: abcdefghijklmnopqrst\r\n\r\n"


async def echoes(head, reader, writer):
    size = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
    body = await reader.readexactly(size)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    return True


def test_a_body_gets_there_however_it_comes():
    """In one read with its head, or in any two; with nothing behind it, with a part of the next request, with all of it."""
    sent = b"".join(POST % (number, 3) + b"%03d" % number for number in range(2))

    async def test():
        async with serving(echoes) as (house, dyno), await house.connect() as connection:
            await connection.ask(POST % (9, 3) + b"abc")  # a host that is known has a quicker way
            (client,) = house.worker.proxy._clients
            for at in range(len(sent) + 1):
                dyno.heads.clear()
                client.data_received(sent[:at])
                client.data_received(sent[at:])
                assert [(await connection.response()).body for _ in range(2)] == [b"000", b"001"]
                assert [head.split(b" ")[1] for head in dyno.heads] == [b"/0", b"/1"]
                assert {head.count(b"\r\n") for head in dyno.heads} == {10}
            assert dyno.connections == 1
            await turns(lambda: not client._buffer)

    run(test)


def test_a_body_is_counted_as_the_clients_however_it_comes():
    async def test():
        async with serving(echoes) as (house, _), await house.connect() as connection:
            await connection.ask(POST % (9, 3) + b"abc")
            (client,) = house.worker.proxy._clients
            for first in (0, 1, 9_999, 10_000):
                client.data_received(POST % (1, 10_000) + b"x" * first)
                exchange = client.exchange
                client.data_received(b"x" * (10_000 - first))
                await connection.response()
                assert (exchange.from_client_size, exchange.status) == (10_000, 200)

    run(test)


def test_an_answer_ahead_of_the_bodys_end_is_the_connections_last():
    async def test():
        said = b"HTTP/1.1 413 No\r\nContent-Length: 5\r\n\r\nhello"
        async with serving(canned(said)) as (house, dyno), await house.connect() as connection:
            for first in (b"", b"ab"):
                async with await house.connect() as other:
                    await other.ask(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
                    response = await other.ask(POST % (1, 3) + first)
                    assert (response.status, response.get("Connection")) == (413, "close")
                    other.writer.write(b"c" * (3 - len(first)))
                    assert await other.closed() == b""
            assert (await connection.ask(POST % (1, 3) + b"abc")).get("Connection") == "keep-alive"
            assert dyno.connections == 3  # none that has a part of a body is used again

    run(test)


def test_one_that_waits_with_its_body_goes_on_as_the_table_wants_it_by_then():
    async def test():
        dyno = Slow()
        got = []

        async def hold(head, reader, writer):
            if head.startswith(b"POST"):
                got.append(await reader.readexactly(3))
            return await dyno._hold(head, reader, writer)

        dyno.answer = hold
        one = table(await dyno.open(), limits=Limits(in_flight=1, backlog=5))
        closing = {
            "app-id": replace(one.apps["app-id"], features=frozenset({"http-disable-keepalive-to-dyno"}))
        }
        async with running(one, timers=UNTIMED) as house:
            control = await controlled(house)
            await asked(house, 1)
            await dyno.has("/1")
            clients = []
            for number, body in ((2, b"two"), (3, b"t"), (4, b"")):
                client = await house.connect()
                client.writer.write(POST % (number, 3) + body)
                clients.append(client)
                await turns(lambda: len(waiting(house)) == len(clients))
            exchanges = list(waiting(house).values())
            control.publish(replace(one, generation=2, apps=closing))
            await turns(lambda: house.worker.proxy.routes.table.generation == 2)
            dyno.at["/1"].set()
            for number, client, rest in zip((2, 3, 4), clients, (b"", b"hr", b"for"), strict=True):
                client.writer.write(rest)
                await dyno.has(f"/{number}")
                dyno.at[f"/{number}"].set()
                assert (await client.response()).body == b"/%d" % number
            assert got == [b"two", b"thr", b"for"]
            assert [each.from_client_size for each in exchanges] == [3, 3, 3]
            assert [head.count(b"\r\nConnection: close\r\n") for head in dyno.heads] == [0, 1, 1, 1]

    run(test)


def test_a_request_with_a_body_goes_once():
    """Its dyno closes the kept connection at that moment: nobody knows whether it did what it was asked for."""

    async def test():
        async def answer(head, reader, writer):
            if b"POST" in head:
                return False
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
            return True

        async with serving(answer) as (house, dyno), await house.connect() as connection:
            await connection.ask(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
            assert (await connection.ask(POST % (1, 3) + b"abc")).status == 503
            assert dyno.connections == 1

    run(test)


SAID = b"HTTP/1.1 200 OK\r\nServer: test\r\nX: y\r\nContent-Length: 10\r\n\r\n0123456789"


async def silent(head, reader, writer):
    return True


async def begun(house, connection):
    """Ask for a host that is known; give the two ends that the router has of the connection."""
    house.worker.proxy.routes.find(b"app.localhost")
    connection.writer.write(b"GET / HTTP/1.1\r\nHost: app.localhost\r\n\r\n")
    await turns(lambda: any(client.dyno is not None for client in house.worker.proxy._clients))
    (client,) = house.worker.proxy._clients
    return client, client.dyno


def test_an_answer_gets_there_however_it_comes():
    """In any two pieces, in three, byte by byte: the same bytes, both connections kept, and so many counted as were sent."""

    async def test():
        async with serving(silent) as (house, dyno), await house.connect() as connection:
            ways = [[SAID[:at], SAID[at:]] for at in range(1, len(SAID))]
            ways += [[SAID[:-8], SAID[-8:-4], SAID[-4:]], [bytes((byte,)) for byte in SAID], [SAID]]
            for pieces in ways:
                client, one = await begun(house, connection)
                exchange = client.exchange
                for piece in pieces:
                    one.data_received(piece)
                got = await connection.reader.readexactly(exchange.to_client)
                assert got.endswith(b"\r\nVia: 1.1 heroku-router\r\n\r\n0123456789")
                assert b"\r\nConnection: keep-alive\r\n" in got
                assert (exchange.status, client.exchange, one.client) == (200, None, None)
                assert one.target.idle == [one]
                assert one.target.in_flight == 0
            assert dyno.connections == 1

    run(test)


def test_an_answer_that_holds_another_is_one():
    async def test():
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(SAID * 2)
        async with serving(silent) as (house, _), await house.connect() as connection:
            _, one = await begun(house, connection)
            for piece in (head, SAID, SAID):
                one.data_received(piece)
            assert (await connection.response()).body == SAID * 2
            assert one.target.idle == [one]

    run(test)


def test_of_a_dyno_that_says_more_than_it_promised_the_promise_is_taken_and_no_more():
    async def test():
        async with serving(silent) as (house, dyno), await house.connect() as connection:
            for count, (first, more) in enumerate(
                ((-3, b"789X"), (-10, SAID[-10:] + b"X"), (-1, b"9" + SAID))
            ):
                _, one = await begun(house, connection)
                one.data_received(SAID[:first])
                one.data_received(more)
                assert (await connection.response()).body == SAID[-10:]
                assert dyno.connections == count + 1  # that one is of no more use
                assert not one.target.idle

    run(test)


@contextlib.asynccontextmanager
async def within_an_answer():
    """All but three bytes of it have come: the house, the client's connection, and the router's two ends."""
    async with serving(silent) as (house, _), await house.connect() as connection:
        client, one = await begun(house, connection)
        one.data_received(SAID[:-3])
        yield house, connection, client, one


def test_a_dyno_that_goes_away_within_its_answer_is_told_of():
    async def test():
        async with within_an_answer() as (house, connection, _, one):
            one.transport.abort()
            assert (await connection.closed()).endswith(b"0123456")
            line = await house.logplex.line()
            assert line.startswith("sock=backend at=error code=H18")
            assert "status=503" in line

    run(test)


def test_one_that_became_its_connections_last_under_its_answer_ends_it():
    async def test():
        async with within_an_answer() as (_, connection, client, one):
            client.exchange.be_last()
            one.data_received(SAID[-3:])
            assert (await connection.closed()).endswith(b"0123456789")
            assert one.target.idle == [one]  # the dyno's goes on

    run(test)


def test_a_silence_within_an_answer_is_the_dynos():
    async def test():
        async with serving(silent) as (house, _), await house.connect() as connection:
            client, one = await begun(house, connection)
            before = client.deadline
            one.data_received(SAID[:-3])
            assert client.deadline > before + 20  # 30 s for the first byte, 55 s between bytes
            one.data_received(SAID[-3:-2])
            client.expired(client.deadline)
            await connection.closed()
            assert (await house.logplex.line()).startswith("at=error code=H15")

    run(test)
