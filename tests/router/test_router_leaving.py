"""A dyno leaves the table: the control plane hears of it once what was under way there has ended, or after a while."""

import asyncio
from random import Random

from support.waiting import run

from dynod.model.route import AppRoute, Backend, RouteTable, Standing
from router.balance import Target, checkin, checkout
from router.link import Leaving
from router.proxy import Proxy
from router.timers import Timers

BACKS = tuple(Backend(f"d{n}", f"web.{n}", "127.0.0.1", 5000 + n) for n in (1, 2))


def _busy(number):
    target = Target(BACKS[0])
    target.gone = True
    target.in_flight = number
    return target


def test_it_is_told_once_when_the_last_request_has_ended():
    async def story():
        told = []
        one, two = _busy(1), _busy(2)
        Leaving(asyncio.get_running_loop(), [one, two], 60.0, lambda: told.append(1))
        checkin(two)
        checkin(one)
        assert told == []
        checkin(two)
        return told

    assert run(story()) == [1]


def test_a_request_that_lasts_is_not_waited_for_longer_than_that():
    async def story():
        told = asyncio.Queue()
        one = _busy(1)
        Leaving(asyncio.get_running_loop(), [one], 0.01, lambda: told.put_nowait(1))
        await told.get()
        checkin(one)
        return told.empty()

    assert run(story())


def test_a_swap_names_the_dynos_that_left_busy():
    def table(generation, *backs):
        route = AppRoute("a1", "demo", Standing.SERVING, backs)
        return RouteTable(generation, {"a1": route}, {"demo.localhost": "a1"})

    async def story():
        loop = asyncio.get_running_loop()
        proxy = Proxy(loop, None, None, None, Random(1).random, port=80, timers=Timers())
        assert proxy.swap(table(1, *BACKS)) == []
        busy = checkout(proxy.routes.find(b"demo.localhost").targets, 0.0, lambda: 0.0)
        assert busy.backend == BACKS[0]
        left = proxy.swap(table(2))
        checkin(busy)
        return left == [busy], proxy.swap(table(3, *BACKS))

    assert run(story()) == (True, [])
