"""What workers tell, added up: over a worker's death, the passing of minutes and an app's end."""

import asyncio

import pytest
from support.waiting import CAP, run

from dynod.engine import routerlink
from dynod.engine.routerlink import RouterLink
from dynod.engine.traffic import SLICE, SLICES, Counts
from dynod.link import connect
from dynod.model.route import AppRoute, RouteTable, Standing
from dynod.model.settings import Settings, routes_socket
from dynod.model.traffic import Latency, Traffic
from dynod.wire.traffic import BadTraffic, row


def told(app="a", requests=1, **rest):
    service = Latency()
    service.note(3, requests)
    message = {"apps": [row(app, Traffic({200: requests}, {}, 0, 0, service))]}
    return {
        **message,
        "rest": [rest.get("in_flight", {}), requests, rest.get("dropped", 0), rest.get("answers", [])],
    }


class Clock:
    def __init__(self):
        self.now = 1_000_020.0

    def __call__(self):
        return self.now


def counts(*apps):
    clock = Clock()
    made = Counts(clock)
    made.keep(apps or ("a",))
    return made, clock


def test_counters_go_on_when_a_worker_dies_and_another_comes():
    here, _ = counts()
    here.took(1, told(requests=5, in_flight={"a": 2}))
    here.took(2, told(requests=1, in_flight={"a": 1}, dropped=4))
    assert (here.of("a").total.requests, here.of("a").in_flight, here.lines, here.dropped) == (6, 3, 6, 4)
    here.gone(1)
    assert (here.of("a").total.requests, here.of("a").in_flight) == (6, 1)
    assert here.took(3, told(requests=1, answers=[7, 8])) == [7, 8]
    assert here.of("a").total.requests == 7
    assert here.in_flight() == {"a": 1}
    assert here.apps()["a"].service.quantile(0.5) == 3


def test_recent_are_the_last_minutes_and_total_is_all():
    here, clock = counts()
    here.took(1, told(requests=5))
    assert (here.of("a").recent.requests, here.of("a").span) == (5, 0)
    clock.now += SLICES * SLICE
    here.took(1, told(requests=2))
    assert here.of("a").recent.requests == 7
    clock.now += SLICE
    assert (here.of("a").recent.requests, here.of("a").total.requests) == (2, 7)
    assert SLICES * SLICE <= here.of("a").span < (SLICES + 1) * SLICE
    for _ in range(20):
        clock.now += SLICE
        here.took(1, told())
    assert len(here._apps["a"].slices) == SLICES + 1


def test_an_app_that_is_no_more_is_forgotten_and_not_begun_again():
    here, _ = counts("a", "b")
    here.took(1, told("a"))
    here.took(1, told("b"))
    here.keep({"b"})
    here.took(1, told("a"))
    assert list(here.apps()) == ["b"]
    assert here.of("a").total == Traffic()


@pytest.mark.parametrize("message", [None, [], {"apps": 1}, {"apps": [["a"]]}, {"apps": [], "rest": [1]}])
def test_what_is_no_message_is_refused(message):
    here, _ = counts()
    with pytest.raises(BadTraffic):
        here.took(1, message)


def test_every_worker_is_asked_and_has_told_when_that_returns(tmp_path, monkeypatch):
    monkeypatch.setattr(routerlink, "PATIENCE", CAP)  # it is the workers that end the wait

    async def story():
        settings, got = Settings(state=str(tmp_path / "s"), run=str(tmp_path)), asyncio.Queue()
        link = RouterLink(settings, got.put_nowait, got.put_nowait)
        link.publish(RouteTable(1, {"a": AppRoute("a", "app", Standing.SERVING)}))
        await link.open()
        peers = [await connect(routes_socket(settings.run), got.put_nowait) for _ in range(2)]
        for _ in peers:
            assert (await got.get()).method == "table"
        waiting = asyncio.ensure_future(link.measure())
        numbers = [(await got.get()).params[0] for _ in peers]
        await peers[0].notify("traffic", {"apps": "nonsense"})
        await peers[0].notify("traffic", {**told(answers=numbers[:1]), "rest": None})
        await peers[0].notify("traffic", told(answers=numbers[:1], in_flight={"a": 1}))
        assert not waiting.done()
        await peers[1].notify("traffic", told(requests=2, answers=numbers[1:]))
        await waiting
        seen = link.counts.of("a")
        assert (seen.total.requests, seen.in_flight, link.workers) == (4, 1, 2)
        waiting = asyncio.ensure_future(link.measure())
        for peer in peers:
            await peer.close()  # a router that dies holds nobody up
        await waiting
        assert link.counts.of("a").in_flight == 0
        await link.close()

    run(story())
