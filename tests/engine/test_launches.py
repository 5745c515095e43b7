"""Launching many at once: so many at a time, and nobody who is waited for behind them."""

import asyncio
from types import SimpleNamespace

from ledger_samples import Story, slug

from dynod.core import launch
from dynod.core.launch import Wiring
from dynod.engine import launches
from dynod.engine.machine import TURNS
from dynod.model.settings import Settings
from tests.core.test_reconcile import World


class Ground:
    """A house whose machine takes its time: nobody gets a network until `gate` is open."""

    def __init__(self, monkeypatch):
        self.gate, self.asked, self.sessions, self.plans = asyncio.Event(), [], {}, {}
        state = SimpleNamespace(app=SimpleNamespace(id="a1", name="demo"), releases=[])
        self.ledger = SimpleNamespace(apps={"a1": state})
        self.memory = SimpleNamespace(begin=lambda *_: None)
        self.machine = SimpleNamespace(turns=asyncio.Semaphore(TURNS), take=self._take, boot=self._boot)

        async def tree(*_):
            return "/slug"

        monkeypatch.setattr(launches, "slug_tree", tree)
        monkeypatch.setattr(launches, "_release", lambda *_: None)
        monkeypatch.setattr(launches, "_plan", lambda *_: "plan")

    async def _take(self, dyno):
        self.asked.append(dyno)
        await self.gate.wait()
        return Wiring(1, "netns", "172.16.0.2")

    async def _boot(self, _):
        return SimpleNamespace(cgroups=(), fds=())


async def _turns():
    """Let everything run that can."""
    for _ in range(100):
        await asyncio.sleep(0)


def test_a_crowd_is_launched_a_few_at_a_time_and_all_of_it_in_the_end(monkeypatch):
    async def story():
        house = Ground(monkeypatch)
        dynos = World(web=100).reconcile().fleet.dynos.values()
        launched = asyncio.gather(*(launches.launch(house, "a1", dyno) for dyno in dynos))
        await _turns()
        first = len(house.asked)
        house.gate.set()
        return first, len(await launched), house.machine.turns._value

    assert asyncio.run(story()) == (TURNS, 100, TURNS)


def test_a_one_off_that_somebody_waits_for_does_not_wait_for_the_crowd(monkeypatch):
    async def story():
        house = Ground(monkeypatch)
        *dynos, one_off = World(web=TURNS + 5).reconcile().fleet.dynos.values()
        crowd = asyncio.gather(*(launches.launch(house, "a1", dyno) for dyno in dynos))
        await _turns()
        fds = asyncio.get_running_loop().create_future()
        house.sessions[one_off.id] = SimpleNamespace(fds=fds)
        attached = asyncio.ensure_future(launches.launch(house, "a1", one_off))
        await _turns()
        asked = one_off.id in house.asked
        house.gate.set()
        await crowd
        return asked, await attached, await fds

    assert asyncio.run(story()) == (True, "172.16.0.2", ())


def test_a_dyno_that_an_earlier_daemon_launched_is_explained_with_both_its_addresses():
    told = Story().deploy(slug())
    (dyno,) = World().reconcile().fleet.dynos.values()
    labels = {"netns": "/run/dynod/netns/1", "address": "172.16.0.2", "address6": "fd64:796e:6f64::2"}
    house = SimpleNamespace(
        ledger=told.ledger,
        settings=Settings(),
        slugs=SimpleNamespace(tree=lambda _: "/slug"),
        machine=SimpleNamespace(stack_env={}, ground=launch.Ground("/stack", (), "/dynos", "/blank")),
    )
    plan = launches.recalled_plan(house, dyno, SimpleNamespace(uid=200_001, labels=labels))
    assert "addresses 172.16.0.2, fd64:796e:6f64::2" in plan.describe()
