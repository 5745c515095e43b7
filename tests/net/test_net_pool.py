"""The stock of namespaces, with a kernel that is only told about."""

import asyncio
import functools
import json
import os

import pytest

from dynod.model.refused import Refusal, Refused
from dynod.net.addresses import SLOTS, Block
from dynod.net.pool import Found, Place, Pool


def run(test):
    @functools.wraps(test)
    def wrapper(*args, **kwargs):
        async def capped():
            async with asyncio.timeout(60):
                await test(*args, **kwargs)

        asyncio.run(capped())

    return wrapper


class Wiring:
    """A kernel that does what it is told, when `gate` is open, and remembers."""

    def __init__(self):
        self.said = []
        self.error = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.changed = asyncio.Condition()

    async def _say(self, *words):
        async with self.changed:
            self.said.append(words)
            self.changed.notify_all()
        await self.gate.wait()
        if self.error is not None:
            raise self.error

    async def wire(self, place):
        await self._say("wire", place.slot.number)

    async def unwire(self, places):
        places = list(places)
        for place in places:
            os.unlink(place.record)
        await self._say("unwire", *(place.slot.number for place in places))

    async def until(self, condition):
        async with self.changed:
            await self.changed.wait_for(lambda: condition(self.said))


class Bench:
    def __init__(self, directory, warm=2, found=None):
        self.wiring = Wiring()
        self.pool = Pool(Block(1), str(directory), warm, self.wiring, found or Found())

    async def __aenter__(self):
        self._work = asyncio.get_running_loop().create_task(self.pool.work())
        return self.pool, self.wiring

    async def __aexit__(self, *_):
        self._work.cancel()
        await asyncio.gather(self._work, return_exceptions=True)
        assert self._work.cancelled(), "the worker must not end by itself"


def owner(place):
    with open(place.record) as file:
        return json.load(file)["id"]


@run
async def test_the_stock_is_filled_up_and_kept(tmp_path):
    async with Bench(tmp_path, warm=2) as (pool, wiring):
        await wiring.until(lambda said: len(said) == 2)
        await pool.take("a")
        await wiring.until(lambda said: len(said) == 3)
    assert wiring.said == [("wire", 0), ("wire", 1), ("wire", 2)]


@run
async def test_a_place_is_recorded_before_it_is_answered(tmp_path):
    async with Bench(tmp_path) as (pool, _):
        place = await pool.take("a")
        assert owner(place) == "a"
        assert pool.views() == [
            {
                "id": "a",
                "netns": f"{tmp_path}/0",
                "address": "172.16.64.2",
                "gateway": "172.16.64.1",
                "interface": "dyno1-0",
                "address6": "",
            }
        ]


@run
async def test_asking_twice_gives_the_same_also_at_once(tmp_path):
    async with Bench(tmp_path, warm=0) as (pool, _):
        first, second = await asyncio.gather(pool.take("a"), pool.take("a"))
        assert first == second == await pool.take("a")
        assert pool.counts()["taken"] == 1
        assert pool.counts()["ready"] == 1


@run
async def test_no_two_dynos_share_a_place_in_a_burst(tmp_path):
    async with Bench(tmp_path, warm=1) as (pool, _):
        places = await asyncio.gather(*(pool.take(str(n)) for n in range(50)))
        assert len({place.slot.number for place in places}) == 50


@run
async def test_given_back_is_removed_and_its_slot_rests(tmp_path):
    async with Bench(tmp_path, warm=0) as (pool, wiring):
        place = await pool.take("a")
        await pool.give("a")
        assert wiring.said[-1] == ("unwire", 0)
        assert not os.path.exists(place.record)
        assert (await pool.take("b")).slot.number == 1
        await pool.give("nobody")


@run
async def test_what_is_given_back_together_is_removed_together(tmp_path):
    async with Bench(tmp_path, warm=0) as (pool, wiring):
        for name in "abc":
            await pool.take(name)
        await asyncio.gather(*(pool.give(name) for name in "abc"))
        assert wiring.said[-1] == ("unwire", 0, 1, 2)


@run
async def test_who_waits_comes_before_who_gave_back_and_before_the_stock(tmp_path):
    async with Bench(tmp_path, warm=0) as (pool, wiring):
        await pool.take("a")
        wiring.gate.clear()
        waits = asyncio.gather(pool.take("b"), pool.give("a"), pool.take("c"))
        await wiring.until(lambda said: len(said) == 2)
        wiring.gate.set()
        await waits
        assert [words[0] for words in wiring.said] == ["wire", "wire", "wire", "unwire"]


@run
async def test_a_kernel_that_refuses_is_said_to_who_asked_and_tried_again_at_the_next_request(tmp_path):
    async with Bench(tmp_path, warm=1) as (pool, wiring):
        await wiring.until(lambda said: len(said) == 1)
        wiring.error = OSError("cannot wire dyno1-1: No space left on device")
        await pool.take("a")
        with pytest.raises(Refused, match="cannot give a dyno its network: cannot wire dyno1-1") as refused:
            await pool.take("b")
        assert refused.value.refusal is Refusal.UNAVAILABLE
        wiring.error = None
        await pool.take("b")


@run
async def test_all_slots_in_use_is_a_refusal(tmp_path):
    found = Found(taken=tuple((str(n), Place(Block(1).slot(n), f"{tmp_path}/{n}")) for n in range(SLOTS)))
    async with Bench(tmp_path, found=found) as (pool, _):
        with pytest.raises(Refused, match="all 4000 networks"):
            await pool.take("one more")


@run
async def test_a_helper_that_comes_back_goes_on_with_what_it_found(tmp_path):
    place = [Place(Block(1).slot(n), f"{tmp_path}/{n}") for n in range(8)]
    found = Found(ready=(place[7],), taken=(("a", place[3]),))
    async with Bench(tmp_path, warm=2, found=found) as (pool, wiring):
        await wiring.until(lambda said: len(said) == 1)
        assert wiring.said == [("wire", 8)]
        assert await pool.take("a") == place[3]
        assert await pool.take("b") == place[7]


@run
async def test_who_hangs_up_while_waiting_leaves_the_place_to_the_next(tmp_path):
    async with Bench(tmp_path, warm=0) as (pool, wiring):
        wiring.gate.clear()
        waiting = asyncio.get_running_loop().create_task(pool.take("a"))
        await wiring.until(lambda said: len(said) == 1)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        wiring.gate.set()
        assert (await pool.take("b")).slot.number == 0
        assert len(wiring.said) == 1


@run
async def test_a_removal_that_fails_keeps_the_slot_out_of_use(tmp_path):
    async with Bench(tmp_path, warm=0) as (pool, wiring):
        await pool.take("a")
        wiring.error = OSError("cannot unpin")
        with pytest.raises(Refused, match="cannot remove a network: cannot unpin"):
            await pool.give("a")
        assert pool.counts()["free"] == SLOTS - 1


@run
async def test_who_gives_back_what_it_still_waits_for_gets_nothing(tmp_path):
    """Its asker lost patience; what was made for it later would be nobody's for ever."""
    async with Bench(tmp_path, warm=0) as (pool, wiring):
        wiring.gate.clear()
        waits = [asyncio.ensure_future(pool.take(name)) for name in "aab"]
        await wiring.until(lambda said: len(said) == 1)
        await pool.give("a")
        wiring.gate.set()
        for wait in waits[:2]:
            with pytest.raises(Refused, match="given back meanwhile"):
                await wait
        assert (await waits[2]).slot.number == 0
        assert [view["id"] for view in pool.views()] == ["b"]
        assert owner(await pool.take("a")) == "a", "it may ask again"


@run
async def test_what_was_made_in_the_moment_of_giving_back_goes_to_the_stock(tmp_path):
    async with Bench(tmp_path, warm=0) as (pool, wiring):
        whole, given = wiring.wire, []

        async def wire(place):
            await whole(place)
            given.append(asyncio.ensure_future(pool.give("a")))  # its turn comes before the taker's

        wiring.wire = wire
        with pytest.raises(Refused, match="given back meanwhile"):
            await pool.take("a")
        assert (pool.counts()["taken"], pool.counts()["ready"]) == (0, 1)
