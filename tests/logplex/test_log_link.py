"""dynod.host.log_link against logplexes that go away at the worst moment."""

import asyncio
from contextlib import aclosing

import pytest
from waiting import run

from dynod.host.log_link import LogLink
from dynod.link import serve
from dynod.model.log import LogLine, LogQuery
from dynod.model.refused import Refusal, Refused


class Scripted:
    """Answers each call by the next function of the script."""

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []
        self.news = asyncio.Event()

    async def answer(self, call):
        self.asked.append((call.method, call.params))
        self.news.set()
        return await self.script.pop(0)(call)

    async def asked_for(self, count):
        while len(self.asked) < count:
            self.news.clear()
            await self.news.wait()


async def hang_up(call):
    call.connection.writer.close()


async def confirm(call):
    return True


async def refuse(call):
    raise Refused(Refusal.INVALID, "cannot write that")


async def bug(call):
    raise KeyError("oops")


async def rows(call):
    await call.item([[7, 1, "app", "web.1", "seven"], [8, 2, "app", "web.1", "eight"]])
    await hang_up(call)


async def more(call):
    await call.item([[9, 3, "app", "web.1", "nine"]])
    await asyncio.Event().wait()


async def garbage(call):
    call.connection.writer.write(b"\xc1")
    await call.connection.writer.drain()


def scripted(*script):
    """Turn `story(link, served)` into a test with a logplex that follows the script."""

    def decorate(story):
        def test(tmp_path):
            async def told():
                served = Scripted(*script)
                server = await serve(f"{tmp_path}/logplex.sock", served.answer)
                link = LogLink(f"{tmp_path}/logplex.sock")
                await story(link, served)
                await link.close()
                server.close()

            run(told())

        return test

    return decorate


@scripted(hang_up, confirm)
async def test_lines_that_were_not_confirmed_are_sent_again_under_their_numbers(link, served):
    link.write("a", "heroku", "api", "one", at_us=1)
    link.write("a", "heroku", "api", "two\nthree \ud800\n", at_us=2)
    await link.close()
    (_, first), (_, second) = served.asked
    assert first == second
    assert (first["first"], len(first["writer"])) == (1, 32)
    assert [row[4] for row in first["rows"]] == ["one", "two", "three ?"]
    assert link.waiting == 0


@scripted(refuse, bug, confirm)
async def test_lines_that_logplex_will_never_take_do_not_stop_the_others(link, served):
    for number, text in enumerate(["one", "two", "three"], 1):
        link.write("a", "heroku", "api", text)
        await served.asked_for(number)
    await link.close()
    assert [(params["first"], len(params["rows"])) for _, params in served.asked] == [(1, 1), (2, 1), (3, 1)]


def test_the_rate_is_told_to_each_logplex_that_comes_an_older_one_that_knows_none_too(tmp_path):
    async def story():
        served = Scripted(confirm, hang_up, refuse, confirm)
        server = await serve(f"{tmp_path}/logplex.sock", served.answer)
        link = LogLink(f"{tmp_path}/logplex.sock", rate=7)
        link.write("a", "heroku", "api", "one")
        await served.asked_for(4)
        await link.close()
        server.close()
        return served.asked

    asked = run(story())
    assert [method for method, _ in asked] == ["rate", "write", "rate", "write"]
    assert asked[0][1] == asked[2][1] == {"rate": 7}


@scripted(rows, garbage, hang_up, more)
async def test_a_tail_goes_on_behind_the_last_line_it_saw(link, served):
    found = []
    async with aclosing(link.tail(LogQuery("a", lines=5, dyno="web"))) as lines:
        async for line in lines:
            found.append(line)
            if len(found) == 3:
                break
    assert found == [
        LogLine("a", number, "app", "web.1", text)
        for number, text in enumerate(["seven", "eight", "nine"], 1)
    ]
    assert [params["after"] for _, params in served.asked] == [-1, 8, 8, 8]
    assert served.asked[0][1] == {
        "app": "a",
        "lines": 5,
        "dyno": "web",
        "source": "",
        "after": -1,
        "live": True,
    }


@scripted(hang_up, confirm)
async def test_forget_is_asked_again(link, served):
    await link.forget("a")
    assert served.asked == [("forget", {"app": "a"})] * 2


@scripted(refuse)
async def test_a_refusal_is_no_reason_to_ask_again(link, served):
    with pytest.raises(Refused, match="cannot write that"):
        await link.recent(LogQuery("a"))
