"""Requests through real sockets that go well, and the ways of connections."""

import asyncio
import contextlib
import re
from collections import Counter
from dataclasses import replace

from tests.router.routing import GET, HELLO, QUICK, FakeDyno, canned, run, running, serving, table


def test_a_get_goes_to_the_dyno_and_back_and_into_the_log():
    async def test():
        async with serving() as (house, dyno):
            response = await house.ask(
                b"GET /a%20b?c HTTP/1.1\r\nHost: App.localhost:99\r\nX-Request-Id: 01234567890123456789\r\n\r\n"
            )
            assert (response.status, response.body, response.get("Connection")) == (
                200,
                b"hello",
                "keep-alive",
            )
            assert response.get("Via") == "1.1 heroku-router"
            head = dyno.heads[0].decode()
            assert head.startswith(
                "GET /a%20b?c HTTP/1.1\r\nHost: App.localhost:99\r\nX-Request-Id: 01234567890123456789\r\n"
            )
            assert (
                f"\r\nX-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: {house.port}\r\n"
                in head
            )
            assert re.search(r"\r\nX-Request-Start: \d{13}\r\n", head)
            line = await house.logplex.line()
            size = re.search(r"bytes=(\d+)", line)[1]
            assert re.fullmatch(
                r'at=info method=GET path="/a b\?c" host=App.localhost request_id=01234567890123456789 fwd="127.0.0.1" dyno=web.1 '
                r"connect=\d+ms service=\d+ms status=200 bytes=\d+ protocol=http1.1 tls=false",
                line,
            )
            assert int(size) > len(HELLO)

    run(test)


def test_connections_are_kept_alive_on_both_sides():
    async def test():
        async with serving() as (house, dyno), await house.connect() as connection:
            for _ in range(5):
                assert (await connection.ask()).body == b"hello"
            assert (dyno.connections, len(dyno.heads)) == (1, 5)
            rows = await house.logplex.wait(5)
            assert len({re.search(r"request_id=(\S+)", row[4])[1] for row in rows}) == 5
            assert [row[0] for row in rows] == ["app-id"] * 5

    run(test)


def test_the_connections_of_a_crowd_are_kept_for_the_next_one():
    crowd = 150

    async def test():
        came = asyncio.Queue()

        async def answer(head, reader, writer):
            gate = asyncio.Event()
            came.put_nowait(gate)
            await gate.wait()
            writer.write(HELLO)
            return True

        async with serving(answer) as (house, dyno), contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(await house.connect()) for _ in range(crowd)]
            for _ in range(2):
                asked = [asyncio.ensure_future(client.ask()) for client in clients]
                gates = [await came.get() for _ in range(crowd)]
                assert dyno.connections == crowd
                for gate in gates:
                    gate.set()
                assert {(await each).status for each in asked} == {200}
                house.worker.proxy._tick()

    run(test)


def test_a_client_that_wants_to_close_is_closed_and_http_1_0_too():
    async def test():
        async with serving() as (house, _):
            for start, line in (("1.1", "Connection: close\r\n"), ("1.0", "")):
                async with await house.connect() as connection:
                    response = await connection.ask(
                        f"GET / HTTP/{start}\r\nHost: app.localhost\r\n{line}\r\n".encode()
                    )
                    assert (response.status, response.get("Connection")) == (200, "close")
                    assert await connection.closed() == b""
            async with await house.connect() as connection:
                for _ in range(2):
                    response = await connection.ask(
                        b"GET / HTTP/1.0\r\nHost: app.localhost\r\nConnection: keep-alive\r\n\r\n"
                    )
                    assert response.get("Connection") == "keep-alive"

    run(test)


def test_pipelined_requests_are_answered_in_order_good_and_bad():
    async def answer(head, reader, writer):
        body = head.split(b" ")[1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            many = 2_000
            one = b"GET /%d HTTP/1.1\r\nHost: app.localhost\r\n\r\n"
            post = b"POST /p HTTP/1.1\r\nHost: app.localhost\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            nobody = b"GET / HTTP/1.1\r\nHost: nobody\r\n\r\n"
            connection.writer.write(
                nobody * many
                + one % 1
                + b"\r\n"
                + post.replace(b"/p", b"/q", 1)
                + one % 2
                + b"BAD\r\n\r\n"
                + one % 3
            )
            for _ in range(many):
                assert (await connection.response()).status == 404
            assert (await connection.response()).body == b"/1"
            assert (await connection.response()).body == b"/q"
            # the fake dyno takes the chunked body for the next head; all that matters here is the order
            connection.writer.write_eof()

    run(test)


def test_bytes_that_dribble_in_make_the_same_request():
    async def test():
        async with serving() as (house, dyno), await house.connect() as connection:
            whole = b"\r\n" + GET + GET
            for at in range(len(whole)):
                connection.writer.write(whole[at : at + 1])
                await asyncio.sleep(0)
            assert (await connection.response()).body == b"hello"
            assert (await connection.response()).body == b"hello"
            assert len(dyno.heads) == 2

    run(test)


def test_requests_spread_over_all_dynos():
    async def test():
        dynos = [FakeDyno() for _ in range(3)]
        backends = [await dyno.open(f"127.0.0.{n + 2}", f"web.{n + 1}") for n, dyno in enumerate(dynos)]
        async with running(table(*backends)) as house, await house.connect() as connection:
            for _ in range(300):
                await connection.ask()
            seen = Counter(re.search(r"dyno=(\S+)", row[4])[1] for row in await house.logplex.wait(300))
        assert {name: 70 < count < 130 for name, count in seen.items()} == dict.fromkeys(
            ("web.1", "web.2", "web.3"), True
        )
        for dyno in dynos:
            await dyno.close()

    run(test)


def test_head_204_and_304_leave_the_connection_in_step():
    async def answer(head, reader, writer):
        kind = head.split(b" ")[1]
        if head.startswith(b"HEAD"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 " + kind[1:] + b" X\r\nContent-Length: 7\r\n\r\n")
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            for start in (b"HEAD /200", b"GET /304", b"GET /204", b"HEAD /200"):
                response = await connection.ask(
                    start + b" HTTP/1.1\r\nHost: app.localhost\r\n\r\n", head_only=True
                )
                assert response.status == int(start[-3:])
                assert response.get("Content-Length") == ("500" if start.startswith(b"HEAD") else "7")

    run(test)


def test_expect_100_is_answered_by_the_router_once_a_dyno_is_there():
    async def answer(head, reader, writer):
        assert b"Expect" not in head
        body = await reader.readexactly(5)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n" + body)
        return True

    async def test():
        async with serving(answer) as (house, _), await house.connect() as connection:
            post = (
                b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
            for _ in range(2):
                assert (await connection.ask(post)).status == 100
                assert (await connection.ask(b"abcde")).body == b"abcde"
            assert (
                await connection.ask(post + b"abcde")
            ).body == b"abcde"  # who does not wait is not told to go on
            async with await house.connect() as other:
                assert (await other.ask(GET[:-2] + b"Expect: tea\r\n\r\n")).status == 417
                assert await other.closed() == b""

    run(test)


def test_a_stale_connection_is_no_fault_of_the_dynos():
    """A dyno may close a kept-alive connection in the moment we send on it: once, and for harmless requests, a fresh one is tried."""

    async def answer(head, reader, writer):
        if len(dynos[0].heads) == 2:
            return False  # closes without a word, as if its idle timeout had struck
        writer.write(HELLO)
        return True

    dynos = []

    async def test():
        async with serving(answer) as (house, dyno), await house.connect() as connection:
            dynos.append(dyno)
            for _ in range(3):
                assert (await connection.ask()).body == b"hello"
            assert dyno.connections == 2
            assert len(dyno.heads) == 4

    run(test)


def test_a_request_that_an_answer_has_begun_to_goes_to_no_other_connection():
    """The beginning of one answer and all of another would be a head that nobody sent."""

    async def answer(head, reader, writer):
        if len(dynos[0].heads) == 2:
            writer.write(b"HTTP/1.1 200 OK\r\nX-Begun: ")
            return False
        writer.write(HELLO)
        return True

    dynos = []

    async def test():
        async with serving(answer) as (house, dyno), await house.connect() as connection:
            dynos.append(dyno)
            assert (await connection.ask()).body == b"hello"
            response = await connection.ask()
            assert (response.status, response.get("X-Begun")) == (503, None)
            assert len(dyno.heads) == 2
            assert " code=H18 " in (await house.logplex.wait(2))[1][4]

    run(test)


def test_a_request_that_must_not_go_twice_does_not_go_on_an_old_connection():
    async def test():
        async with (
            serving(timers=replace(QUICK, fresh=0.0)) as (house, dyno),
            await house.connect() as connection,
        ):
            await connection.ask()
            assert (
                await connection.ask(b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\n\r\n")
            ).status == 200
            assert dyno.connections == 2

    run(test)


def test_a_request_with_effects_whose_connection_ends_is_not_sent_again():
    async def answer(head, reader, writer):
        if head.startswith(b"POST"):
            return False  # who knows how far it came
        writer.write(HELLO)
        return True

    async def test():
        async with serving(answer) as (house, dyno), await house.connect() as connection:
            await connection.ask()
            response = await connection.ask(
                b"POST / HTTP/1.1\r\nHost: app.localhost\r\nContent-Length: 0\r\n\r\n"
            )
            assert (response.status, dyno.connections) == (503, 1)  # on a connection that was kept, too
            assert [head[:4] for head in dyno.heads] == [b"GET ", b"POST"]
            assert " code=H13 " in (await house.logplex.wait(2))[1][4]

    run(test)


def test_an_idle_connection_closed_by_the_dyno_is_not_used():
    async def test():
        async with serving() as (house, dyno), await house.connect() as connection:
            await connection.ask()
            dyno.hang_up()
            assert (await connection.ask()).body == b"hello"

    run(test)


def test_an_app_may_have_no_connection_kept_alive():
    async def test():
        async with (
            serving(features=frozenset({"http-disable-keepalive-to-dyno"})) as (house, dyno),
            await house.connect() as connection,
        ):
            for _ in range(3):
                await connection.ask()
            assert dyno.connections == 3
            assert all(b"\r\nConnection: close\r\n" in head for head in dyno.heads)

    run(test)


def test_an_idle_client_is_closed_after_a_while_and_one_that_dribbles_a_head_too():
    async def test():
        async with serving(timers=replace(QUICK, keep_alive=0.05, head=0.05)) as (house, _):
            async with await house.connect() as connection:
                await connection.ask()
                assert await connection.closed() == b""
            async with await house.connect() as connection:
                connection.writer.write(b"GET / HT")
                assert await connection.closed() == b""

    run(test)


def test_a_thousand_requests_leave_nothing_in_flight():
    async def test():
        async with serving(canned(HELLO)) as (house, _):
            connections = [await house.connect() for _ in range(20)]
            for _ in range(50):
                for connection in connections:
                    connection.writer.write(GET)
                for connection in connections:
                    assert (await connection.response()).status == 200
            target = house.worker.proxy.routes.find(b"app.localhost").targets[0]
            assert target.in_flight == 0
            assert len(target.idle) <= 20
            assert len(await house.logplex.wait(1000)) == 1000
            for connection in connections:
                connection.writer.transport.abort()

    run(test)


def test_a_client_that_came_just_before_the_end_is_still_answered():
    """Its bytes may be in the kernel's queue, or on the way, while the worker decides whom to close."""

    async def test():
        async with serving() as (router, _), await router.connect() as early, await router.connect() as half:
            half.writer.write(GET[:10])
            await router.ask()  # so that both are accepted
            draining = asyncio.ensure_future(router.worker.drain())
            while not router.worker.proxy.draining:  # noqa: ASYNC110  # a turn of the loop brings it
                await asyncio.sleep(0)
            for answer in (await early.ask(), await half.ask(GET[10:])):
                assert (answer.status, answer.get("Connection")) == (200, "close")
            await draining

    run(test)


def test_a_kept_connection_in_use_is_answered_once_more_before_it_is_closed():
    """Who asks on and on would send its next request as we close: a failure that only we could have avoided."""

    async def test():
        async with serving() as (router, _), await router.connect() as kept:
            await kept.ask()
            draining = asyncio.ensure_future(router.worker.drain())
            while not router.worker.proxy.draining:  # noqa: ASYNC110  # a turn of the loop brings it
                await asyncio.sleep(0)
            answer = await kept.ask()
            assert (answer.status, answer.get("Connection")) == (200, "close")
            assert await kept.closed() == b""
            await draining

    run(test)


def test_a_client_that_says_nothing_does_not_keep_the_router_from_ending():
    async def test():
        timers = replace(QUICK, welcome=0.05, drain=60)
        async with (
            serving(timers=timers) as (router, _),
            await router.connect() as silent,
            await router.connect() as idle,
        ):
            await idle.ask()
            draining = asyncio.ensure_future(router.worker.drain())
            assert await idle.closed() == b""
            assert await silent.closed() == b""
            await draining

    run(test)
