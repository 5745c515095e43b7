"""Log tails as server-sent events, output streams and blobs over real HTTPS; the clock is never waited for."""

import asyncio
import contextlib

import pytest

from dynod.api import streams, uploads
from dynod.api.logs import START
from tests.api.served import run

SSE = {"Accept": "text/event-stream", "User-Agent": "heroku-run", "accept-encoding": "gzip, deflate"}


async def app(whole):
    await whole.ask("POST", "/apps", {"name": "demo"})
    return whole.platform.app("demo")


async def address(whole, **body):
    return (await whole.ask("POST", "/apps/demo/log-sessions", body)).body["logplex_url"]


async def until(reader, word):
    """Read a stream until it has said `word`."""
    seen = b""
    while word not in seen:
        data = await reader.readany()
        assert data, f"the stream ended before {word!r}: {seen!r}"
        seen += data
    return seen


def test_history_comes_as_events_and_ends():
    async def story(whole):
        demo = await app(whole)
        for number in range(3):
            await whole.platform.say(demo, f"line {number}")
        await whole.platform.say(demo, "GET /", source="heroku", process="router")
        url = await address(whole, lines=2, source="app", dyno="web", tail=False)
        answer = await whole.ask("GET", url, token="", **SSE)
        assert answer.headers["Content-Type"] == "text/event-stream"
        assert answer.body.startswith(b"retry: 1\n\nid: ")
        lines = [one for one in answer.body.decode().splitlines() if one.startswith("data: ")]
        assert [one.partition(" app[web.1]: ")[2] for one in lines] == ["line 1", "line 2"]
        assert answer.body.endswith(b"\n\n")
        plain = await whole.ask("GET", url, token="", Accept="*/*")
        assert plain.headers["Content-Type"].startswith("text/plain")
        assert plain.body.decode().splitlines() == [one.removeprefix("data: ") for one in lines]

    run(story)


def test_a_session_goes_with_its_app():
    """The CLI comes back for a tail that ended, for as long as it is let."""

    async def story(whole):
        await app(whole)
        url = await address(whole, tail=True)
        await whole.ask("DELETE", "/apps/demo")
        assert (await whole.ask("GET", url, token="", **SSE)).status == 404

    run(story)


def test_a_tail_is_live_and_told_when_its_reader_leaves():
    async def story(whole):
        demo = await app(whole)
        await whole.platform.say(demo, "old")
        url = await address(whole, tail=True)
        async with whole.session.get(url, headers=SSE) as response:
            assert b"retry: 1000\n\n" in await until(response.content, b"old")
            await whole.platform.say(demo, "fresh")
            await until(response.content, b"fresh")
            assert whole.platform.tails == 1
        async with whole.platform.said:
            pass
        while whole.platform.tails:  # ends when the server has seen the reader go
            await whole.ask("GET", "/account")

    run(story)


def test_a_tail_that_comes_back_has_no_line_twice():
    async def story(whole):
        demo = await app(whole)
        for number in range(5):
            await whole.platform.say(demo, f"old {number}")
        url = await address(whole, lines=2, tail=True)
        async with whole.session.get(url, headers=SSE) as response:
            seen = await until(response.content, b"old 4\n\n")
        last = seen.rpartition(b"id: ")[2].split(b"\n")[0].decode()
        await whole.platform.say(demo, "while away")
        async with whole.session.get(url, headers={**SSE, "Last-Event-ID": last}) as response:
            await whole.platform.say(demo, "live again")
            again = await until(response.content, b"live again\n\n")
        assert b"old" not in again
        assert again.count(b"while away") == again.count(b"live again") == 1

    run(story)


def test_a_quiet_tail_shows_that_it_lives(monkeypatch):
    monkeypatch.setattr(streams, "QUIET", 0.01)

    async def story(whole):
        await app(whole)
        async with whole.session.get(await address(whole, tail=True), headers=SSE) as response:
            assert b"alive" in await until(response.content, b": alive\n\n: alive\n\n")

    run(story)


def test_a_session_is_begun_in_five_minutes_and_resumed_for_a_day(monkeypatch):
    async def story(whole):
        await app(whole)
        url = await address(whole, tail=False)
        seal = whole.api._streams._front
        real = type(seal).links

        def later(front, api=None):
            links = real(front, api)
            return type(links)(links.api, links.domain, links.web_port, links.seal, links.now + START + 1)

        monkeypatch.setattr(type(seal), "links", later)
        assert (await whole.ask("GET", url, token="", **SSE)).status == 404
        assert (await whole.ask("GET", url, token="", **SSE, Last_Event_ID="1-abc")).status == 200

    run(story)


def test_build_output_is_live():
    async def story(whole):
        await app(whole)
        whole.platform.build_gate.clear()
        source = (await whole.ask("POST", "/sources")).body["source_blob"]
        await whole.ask("PUT", source["put_url"], b"tar", token="")
        asked = {"source_blob": {"url": source["get_url"], "version": "abc"}}
        build = (await whole.ask("POST", "/apps/demo/builds", asked)).body
        async with whole.session.get(build["output_stream_url"]) as response:
            seen = await until(response.content, b"stack\n")
            assert b"Launching" not in seen  # it has not happened yet
            whole.platform.build_gate.set()
            assert (await response.content.read()).endswith(b"Launching...\n")

    run(story)


def test_output_that_is_refused_is_an_answer_like_others():
    async def story(whole):
        await app(whole)
        links = whole.api._streams._front.links()
        release = whole.platform.releases(whole.platform.app("demo"))[0]
        answer = await whole.ask(
            "GET", links.output("release", whole.platform.app("demo").id, release.id), token=""
        )
        assert (answer.status, answer.body["id"]) == (404, "not_found")

    run(story)


def test_output_that_breaks_is_broken_off(caplog):
    """Half a transcript must not look like a whole one."""

    async def story(whole):
        demo = await app(whole)
        gate = asyncio.Event()

        async def breaking(_app, _release):
            yield b"begun\n"
            await gate.wait()
            raise RuntimeError("the disk is gone")

        whole.platform.release_output = breaking
        release = whole.platform.releases(demo)[0]
        url = whole.api._streams._front.links().output("release", demo.id, release.id)
        async with whole.session.get(url) as response:
            await until(response.content, b"begun\n")
            gate.set()
            with pytest.raises(Exception, match=r"(?i)payload|disconnect|reset"):
                await response.content.read()

    run(story)


def test_a_release_streams_its_output():
    async def story(whole):
        demo = await app(whole)
        slug = whole.platform._slug(demo, b"x", {"web": "serve", "release": "migrate"}, "abc", "")
        release = (await whole.ask("POST", "/apps/demo/releases", {"slug": slug.id})).body
        assert (await whole.ask("GET", release["output_stream_url"], token="")).body == b"migrating\ndone\n"

    run(story)


def test_closing_the_api_ends_its_tails():
    async def story(whole):
        await app(whole)
        async with whole.session.get(await address(whole, tail=True), headers=SSE) as response:
            await until(response.content, b"retry")
            await whole.api._streams.close()
            with contextlib.suppress(Exception):
                while await response.content.readany():
                    pass
        assert whole.platform.tails == 0

    run(story)


def test_a_source_that_is_too_large_leaves_nothing():
    async def story(whole):
        await app(whole)
        object.__setattr__(whole.platform.settings, "checkout_bytes", 1000)
        put = (await whole.ask("POST", "/sources")).body["source_blob"]["put_url"]
        answer = await whole.ask("PUT", put, b"x" * 1001, token="")
        assert (answer.status, answer.body["id"]) == (422, "invalid_params")
        assert await asyncio.to_thread(lambda: list(__import__("os").listdir(f"{whole.state}/uploads"))) == []
        assert (await whole.ask("GET", put, token="")).status == 404
        assert (await whole.ask("PUT", put, b"x" * 1000, token="")).status == 200
        assert (await whole.ask("GET", put, token="")).body == b"x" * 1000

    run(story)


def test_a_source_that_stalls_is_given_up(monkeypatch):
    monkeypatch.setattr(uploads, "QUIET", 0.05)

    async def story(whole):
        put = (await whole.ask("POST", "/sources")).body["source_blob"]["put_url"]
        forever = asyncio.Event()

        async def stalling():
            yield b"a little"
            await forever.wait()

        async with whole.session.put(put, data=stalling()) as response:
            assert response.status == 400
            forever.set()

    run(story)


def test_what_nobody_fetched_in_a_day_is_swept(tmp_path):
    path = uploads.prepare(str(tmp_path), 0.0)
    (tmp_path / "uploads" / "old.source").write_text("x")
    (tmp_path / "uploads" / "push-1").mkdir()
    now = (tmp_path / "uploads" / "old.source").stat().st_mtime
    uploads.prepare(str(tmp_path), now + uploads.KEPT - 60)
    assert len(list((tmp_path / "uploads").iterdir())) == 2
    assert uploads.prepare(str(tmp_path), now + uploads.KEPT + 60) == path
    assert list((tmp_path / "uploads").iterdir()) == []
