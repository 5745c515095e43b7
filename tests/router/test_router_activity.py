"""Which apps had requests: told once per span however many they were, at once when asked, and as long as something is under way."""

import asyncio
import contextlib
from dataclasses import replace

from dynod.model.route import Standing
from dynod.wire.rpc import Notification, encode
from router.activity import Activity
from tests.router.routing import GET, QUICK, controlled, run, running, serving, table

OFTEN = replace(QUICK, active=0.02)
NEVER = replace(QUICK, active=3600.0)
ACTIVE = Notification("active", ["app-id"])
UPGRADE = b"GET / HTTP/1.1\r\nHost: app.localhost\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"


async def _switch(head, reader, writer):
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
    await reader.read()
    return False


def _say(control, *what):
    for writer in control._writers:
        writer.write(encode(Notification(*what)))


async def _next(control, method):
    while (said := await control.wakes.get()).method != method:
        pass
    return said


class Told:
    """An Activity whose control plane may be away, with a clock of its own loop."""

    def __init__(self, every=3600.0):
        self.sent, self.there, self.open = [], True, []
        self.activity = Activity(asyncio.get_running_loop(), every, lambda: self.open, self._send)

    def _send(self, apps):
        if self.there:
            self.sent.append(apps)
        return self.there


def test_what_nobody_listened_to_is_kept():
    async def story():
        told = Told()
        told.activity.note("b")
        told.activity.note("a")
        told.there = False
        told.activity.flush()
        told.there = True
        told.activity.flush()
        told.activity.flush()
        assert told.sent == [["a", "b"]]
        assert told.activity._timer is None

    run(story)


def test_what_is_under_way_stays_active():
    async def story():
        told = Told()
        told.open = ["a", "a"]
        told.activity.note("a")
        told.activity.flush()
        told.open = []
        assert told.activity._timer is not None
        told.activity.flush()
        assert told.sent == [["a"], ["a"]]
        assert (told.activity._timer, told.activity.apps) == (None, set())

    run(story)


@contextlib.asynccontextmanager
async def controlled_by(timers, answer=None):
    """A router before a dyno, and its control plane."""
    async with serving(answer, timers=timers) as (router, _):
        control = await controlled(router)
        yield router, control
        await control.close()


def test_requests_are_told_of_once_per_span_and_an_idle_worker_has_no_timer():
    async def story():
        async with controlled_by(OFTEN) as (router, control), await router.connect() as connection:
            for _ in range(3):
                assert (await connection.ask()).status == 200
            assert await _next(control, "active") == ACTIVE
            assert (await connection.ask()).status == 200
            assert await _next(control, "active") == ACTIVE
            assert router.worker.proxy.activity._timer is None

    run(story)


def test_asked_it_says_at_once_what_it_knows():
    async def story():
        async with controlled_by(NEVER) as (router, control):
            assert (await router.ask()).status == 200
            _say(control, "report", [7])
            assert [await control.wakes.get() for _ in range(2)] == [ACTIVE, Notification("reported", [7])]
            _say(control, "report", [8])
            assert await control.wakes.get() == Notification("reported", [8])

    run(story)


def test_a_tunnel_is_activity_while_it_is_open():
    async def story():
        async with controlled_by(OFTEN, _switch) as (router, control), await router.connect() as connection:
            connection.writer.write(UPGRADE)
            assert (await connection.head()).status == 101
            for _ in range(3):
                assert await _next(control, "active") == ACTIVE

    run(story)


def test_a_request_that_slipped_in_before_the_app_fell_asleep_is_told_of_before_the_table_is_confirmed():
    async def story():
        async with controlled_by(NEVER) as (router, control):
            assert (await router.ask()).status == 200
            control.publish(replace(table(standing=Standing.BOOTING), generation=2))
            assert await control.wakes.get() == Notification("applied", [2])
            control.publish(replace(table(standing=Standing.IDLE), generation=3))
            assert [await control.wakes.get() for _ in range(2)] == [ACTIVE, Notification("applied", [3])]

    run(story)


def test_what_the_control_plane_missed_is_told_when_it_is_back():
    async def story():
        async with serving(timers=OFTEN) as (router, _):
            assert (await router.ask()).status == 200
            control = await controlled(router)
            assert await _next(control, "active") == ACTIVE
            await control.close()

    run(story)


def test_refused_requests_are_no_activity_and_no_hours_left_is_h82():
    async def story():
        async with running(table(standing=Standing.SPENT), timers=OFTEN) as router:
            response = await router.ask(GET)
            assert response.status == 503
            assert router.worker.proxy.activity.apps == set()
            line = await router.logplex.line()
            assert 'at=info code=H82 desc="You\'ve used up your dyno hour pool"' in line

    run(story)
