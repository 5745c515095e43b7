"""The feature http-session-affinity: a browser stays with its dyno for as long as there is one, and learns nothing of it."""

import asyncio
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.model.route import Backend, Limits
from router.affinity import FEATURE, cookie, token, tokens, wanted
from router.balance import Target
from tests.router.routing import GET, HELLO, FakeDyno, controlled, run, running, table, turns

STICKY = frozenset({FEATURE})
TARGETS = [
    Target(Backend(f"00000000-0000-4000-8000-00000000000{n}", f"web.{n}", "10.0.0.1", n)) for n in (1, 2)
]
KNOWN = tokens("app-id", TARGETS)
ONE, TWO = KNOWN


# -- decisions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "meant"),
    [
        (b"Cookie: heroku-session-affinity=" + ONE, 0),
        (b"cookie:a=b;heroku-session-affinity=" + TWO + b" ; c=d", 1),
        (b"Cookie: a=b\r\nX: y\r\nCOOKIE: heroku-session-affinity=" + ONE, 0),
        (b"Cookie: heroku-session-affinity=" + ONE + b"; heroku-session-affinity=" + ONE, None),
        (b"Cookie: heroku-session-affinity=" + ONE + b"\r\nCookie: heroku-session-affinity=" + TWO, None),
        (b"Cookie: Heroku-Session-Affinity=" + ONE, None),
        (b"Cookie: heroku-session-affinity =" + ONE, None),
        (b'Cookie: heroku-session-affinity="' + ONE + b'"', None),
        (b"Cookie: heroku-session-affinity=" + ONE + b"=", None),
        (b"Cookie: heroku-session-affinity=" + ONE[:-1], None),
        (b"Cookie: heroku-session-affinity=" + ONE.lower(), None),
        (b"Cookie: heroku-session-affinity=", None),
        (b"Cookie: heroku-session-affinity=web.1", None),
        (b"Cookie: x-heroku-session-affinity=" + ONE, None),
        (b"X-Cookie: heroku-session-affinity=" + ONE, None),
        (b"X: a, Cookie: heroku-session-affinity=" + ONE, None),
        (b"Cookie:", None),
        (b"X: y", None),
    ],
)
def test_which_dyno_a_request_asks_for(lines, meant):
    assert wanted(b"\r\nHost: a\r\n" + lines, KNOWN) is (None if meant is None else TARGETS[meant])


@given(st.binary(max_size=80))
def test_no_nonsense_means_a_dyno(junk):
    assert wanted(b"\r\nCookie: heroku-session-affinity=" + junk, KNOWN) is None


def test_the_value_is_opaque_differs_by_app_and_dyno_and_is_the_same_at_every_worker():
    assert re.fullmatch(rb"[A-Za-z0-9_-]{43}", ONE)
    made = {token(app, dyno) for app in ("a", "b") for dyno in ("1", "2")}
    assert len(made) == 4
    assert token("a", "1") in made


def test_the_cookie_to_the_letter():
    assert cookie("app-id", TARGETS[0], "App.Localhost.", 1_795_000_000.0) == (
        b"Set-Cookie: heroku-session-affinity=" + ONE + b"; Version=1; Expires=Thu, 19 Nov 2026 11:06:40 GMT; Max-Age=86400; "
        b"Domain=app.localhost; Path=/; HttpOnly\r\n"
    )  # fmt: skip


# -- what becomes of it ----------------------------------------------------------------------------------------------


def with_cookie(value: str) -> bytes:
    return GET[:-2] + b"Cookie: a=b; " + value.encode() + b"\r\n\r\n"


def set_by(response) -> str:
    return response.get("Set-Cookie").partition(";")[0]


async def two_dynos():
    async def answer(head, reader, writer):
        port = writer.get_extra_info("sockname")[1]
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n%05d" % port)
        return True

    dynos = [FakeDyno(answer) for _ in range(2)]
    return dynos, [await dyno.open(f"127.0.0.{n + 2}", f"web.{n + 1}") for n, dyno in enumerate(dynos)]


def test_a_browser_stays_with_the_dyno_that_served_it_first_and_is_told_once():
    async def test():
        dynos, backends = await two_dynos()
        async with running(table(*backends, features=STICKY)) as house:
            homes = {}
            for _ in range(20):
                response = await house.ask()
                homes[set_by(response)] = response.body
            assert len(homes) == 2
            for value, home in homes.items():
                async with await house.connect() as connection:
                    for _ in range(10):
                        response = await connection.ask(with_cookie(value))
                        assert (response.body, response.get("Set-Cookie")) == (home, None)
            heads = [
                head for dyno in dynos for head in dyno.heads if b"Cookie: a=b; heroku-session-aff" in head
            ]
            assert len(heads) == 20

    run(test)


def test_without_the_feature_there_is_no_cookie_and_none_is_looked_for():
    async def test():
        _, backends = await two_dynos()
        async with running(table(*backends)) as house:
            value = "heroku-session-affinity=" + token("app-id", backends[0].id).decode()
            seen = set()
            for _ in range(40):
                response = await house.ask(with_cookie(value))
                assert response.get("Set-Cookie") is None
                seen.add(response.body)
            assert len(seen) == 2

    run(test)


def test_when_its_dyno_is_gone_a_browser_gets_another_and_a_new_cookie():
    async def test():
        _, backends = await two_dynos()
        async with running(table(*backends, features=STICKY)) as house:
            control = await controlled(house)
            value = "heroku-session-affinity=" + token("app-id", backends[0].id).decode()
            control.publish(replace(table(backends[1], features=STICKY), generation=2))
            await turns(lambda: house.worker.proxy.routes.table.generation == 2)
            response = await house.ask(with_cookie(value))
            assert set_by(response) == "heroku-session-affinity=" + token("app-id", backends[1].id).decode()

    run(test)


def test_a_dyno_that_is_full_or_refuses_is_passed_over_and_stays_the_one_that_is_meant():
    async def test():
        dynos, backends = await two_dynos()
        limits = Limits(in_flight=1, backlog=10)
        async with running(table(*backends, features=STICKY, limits=limits)) as house:
            value = "heroku-session-affinity=" + token("app-id", backends[0].id).decode()
            home = house.worker.proxy.routes.find(b"app.localhost").targets[0]
            home.in_flight = 1
            response = await house.ask(with_cookie(value))
            assert (response.body, response.get("Set-Cookie")) == (b"%05d" % backends[1].port, None)
            home.in_flight = 0
            await dynos[0].close()
            response = await house.ask(with_cookie(value))
            assert (response.body, response.get("Set-Cookie")) == (b"%05d" % backends[1].port, None)
            assert home.quarantined_until > 0
            home.quarantined_until = 0
            dynos[0]._server = await asyncio.start_server(
                dynos[0]._serve, backends[0].address, backends[0].port
            )
            assert (await house.ask(with_cookie(value))).body == b"%05d" % backends[0].port

    run(test)


def test_a_websocket_is_bound_as_well_and_an_error_of_the_routers_own_is_not():
    async def answer(head, reader, writer):
        if b"websocket" in head:
            writer.write(b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
            await reader.read()
        return False

    async def test():
        dyno = FakeDyno(answer)
        backend = await dyno.open()
        async with running(table(backend, features=STICKY)) as house, await house.connect() as connection:
            upgrade = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            response = await connection.ask(upgrade, head_only=True)
            assert set_by(response) == "heroku-session-affinity=" + token("app-id", backend.id).decode()
            refused = await house.ask()
            assert (refused.status, refused.get("Set-Cookie")) == (503, None)

    run(test)


def test_an_answer_that_was_remembered_carries_each_ones_own_cookie():
    """A head that comes again is not made again: nobody may get what was made for another."""

    async def test():
        dyno = FakeDyno()
        backend = await dyno.open()
        async with running(table(backend, features=STICKY)) as house, await house.connect() as connection:
            value = "heroku-session-affinity=" + token("app-id", backend.id).decode()
            for asked, given in (
                (GET, True),
                (with_cookie(value), False),
                (GET, True),
                (with_cookie(value), False),
            ):
                response = await connection.ask(asked)
                assert (response.body, response.get("Set-Cookie") is not None) == (b"hello", given)
            assert dyno.connections == 1
            assert HELLO.endswith(b"hello")

    run(test)
