"""Carrying out effects: what is asked for twice is done once."""

import asyncio
import socket
from signal import SIGKILL, SIGTERM
from types import SimpleNamespace

import pytest
from support.waiting import run

from dynod.core.effects import Signal, WatchPort
from dynod.core.events import PortBound
from dynod.core.fleet import Fleet
from dynod.engine.app_loop import Happened
from dynod.engine.perform import Deeds


class House:
    """One that keeps what is spawned and what its loops are told."""

    def __init__(self):
        self.spawned, self.told, self.tasks = [], [], self

    def spawn(self, work):
        self.spawned.append(asyncio.ensure_future(work))
        return self.spawned[-1]

    def loop(self, _):
        return SimpleNamespace(post=self.told.append)


def test_a_port_that_is_to_be_watched_again_is_told_of_once():
    """A dyno host that comes back has the ports of all that boots watched anew."""

    async def story():
        house = House()
        deeds = Deeds(house)
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            address, port = listener.getsockname()
            fleet = Fleet(dynos={"d1": SimpleNamespace(id="d1", address=address, port=port)})
            for _ in range(2):
                deeds.perform("a1", fleet, WatchPort("d1"))
                await asyncio.sleep(0)
            listener.listen()
            await asyncio.gather(*house.spawned, return_exceptions=True)
        assert house.told == [Happened("d1", PortBound())]

    run(story())


@pytest.mark.parametrize(("signal", "waits"), [(SIGTERM, True), (SIGKILL, False)])
def test_a_dyno_hears_of_its_stop_once_the_routers_have_let_it_go(signal, waits):
    async def story():
        house, heard, gone = House(), [], asyncio.Event()

        async def signalled(dyno, number):
            heard.append((dyno, number))

        house.routed, house.machine = gone.wait, SimpleNamespace(signal=signalled)
        Deeds(house).perform("a1", Fleet(), Signal("d1", signal))
        for _ in range(5):
            await asyncio.sleep(0)
        assert bool(heard) is not waits
        gone.set()
        await asyncio.gather(*house.spawned)
        assert heard == [("d1", signal)]

    run(story())
