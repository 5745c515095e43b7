"""Who may say what at RUN/logplex.sock."""

import asyncio
import os

import pytest
from waiting import run

from dynod.link import connect, serve
from dynod.logplex.door import Door
from dynod.logplex.pipes import HostLink
from dynod.logplex.plex import Plex
from dynod.logplex.query import Ask
from dynod.model.log import LogQuery
from dynod.model.refused import Refusal, Refused
from dynod.model.spoken import LOGPLEX, Language
from tests.logplex.plex_house import APP

ROW = [APP, None, "heroku", "router", "at=info"]
CALLS = {
    "recent": {"app": APP, "lines": 9},
    "tail": {"app": APP, "lines": 9},
    "follow": {"app": APP, "lines": 9, "after": 0, "live": False},
    "forget": {"app": APP},
    "rate": {"rate": 1},
    "write": {"writer": "w", "first": 1, "rows": [ROW]},
    "stat": None,
}


def served(tmp_path, story, *, tells=None, language=LOGPLEX):
    """Run `story(path, texts)` with a door of which `texts()` are the lines that came in."""

    async def told():
        plex = Plex(f"{tmp_path}/logs")
        door = Door(plex, HostLink(f"{tmp_path}/host.sock", plex), tells)
        server = await serve(f"{tmp_path}/s", door.answer, notified=door, language=language)
        try:
            await story(
                f"{tmp_path}/s", lambda: [each.text for _, each in plex.ask(Ask(LogQuery(APP, lines=9)))]
            )
        finally:
            server.close()
            plex.close()

    run(told())


def test_the_router_says_lines_and_asks_for_nobodys(tmp_path):
    async def story(path, texts):
        router = await connect(path)
        await router.notify("lines", [ROW])
        for method, params in CALLS.items():
            with pytest.raises(Refused, match="the router says lines and asks nothing") as refused:
                await router.call(method, params)
            assert refused.value.refusal is Refusal.FORBIDDEN
        assert texts() == ["at=info"]
        await router.close()

    served(tmp_path, story, tells=os.geteuid())


def test_others_say_and_ask(tmp_path):
    async def story(path, _):
        peer = await connect(path)
        await peer.notify("lines", [ROW])
        assert [row[3] for row in await peer.call("recent", CALLS["recent"])] == ["at=info"]
        await peer.close()

    served(tmp_path, story, tells=65_534)


def test_the_lines_of_who_speaks_another_language_are_not_taken_and_it_is_told(tmp_path):
    async def story(path, texts):
        said = asyncio.Queue()
        stranger = await connect(
            path, said.put_nowait, language=Language("logplex", "dyno-logplex", newest=9)
        )
        told = await said.get()
        assert told.method == "refused"
        assert "speaks language 9 to the logplex" in told.params
        await stranger.notify("lines", [ROW])
        with pytest.raises(Refused, match="speaks language 9"):
            await stranger.call("stat", None)
        assert texts() == []
        await stranger.close()

    served(tmp_path, story)
