"""What goes on as it is (Proxy.forward, Dyno._answered) ends as all the rest does: for hosts that are known, over connections that were kept."""

from dataclasses import replace

from dynod.model.route import Limits, RouteTable
from tests.router.routing import canned, controlled, run, running, serving, table, turns
from tests.router.test_router_queue import UNTIMED, Slow, asked, waiting


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
