"""The same table over the unix socket, and the streams that only it has."""

import asyncio
import os
import stat

import pytest

from dynod.api import auth, dynos
from dynod.link import connect
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import control_socket
from tests.api.served import run


def told(story, **kwargs):
    """Run `story(whole, peer)` with a connection to the control socket."""

    async def connected(whole):
        peer = await connect(control_socket(whole.run))
        try:
            return await story(whole, peer)
        finally:
            await peer.close()

    return run(connected, **kwargs)


async def items(stream):
    return [item async for item in stream]


def test_a_row_answers_as_over_http():
    async def story(whole, peer):
        made = await peer.call("apps.create", {"body": {"name": "demo"}})
        assert made == (await whole.ask("GET", "/apps/demo")).body
        assert await peer.call("apps.info", {"app": "demo"}) == made
        assert await peer.call("account.info") == (await whole.ask("GET", "/account")).body
        await peer.call("config.update", {"app": "demo", "body": {"A": "1"}})
        newest = await peer.call("releases.list", {"app": "demo", "range": "version ..; order=desc,max=1"})
        assert [one["version"] for one in newest] == [3]

    told(story)


def test_a_list_is_whole_unless_a_range_is_asked():
    async def story(whole, peer):
        for number in range(210):
            await whole.platform.create_app(whole.platform.owner(), f"app-{number}", None)
        assert len(await peer.call("apps.list")) == 210
        assert len(await peer.call("apps.list", {"range": "name ..; max=5"})) == 5

    told(story)


@pytest.mark.parametrize(
    ("method", "params", "refusal"),
    [
        ("apps.info", {"app": "none"}, Refusal.NOT_FOUND),
        ("apps.info", {}, Refusal.BAD_REQUEST),
        ("apps.info", {"app": 5}, Refusal.BAD_REQUEST),
        ("apps.info", ["demo"], Refusal.BAD_REQUEST),
        ("apps.create", {"body": {"name": "x"}}, Refusal.INVALID),
        ("apps.create", {"body": {5: "x"}}, Refusal.INVALID),
        ("apps.create", {"body": b"x"}, Refusal.INVALID),
        ("apps.list", {"range": "color .."}, Refusal.RANGE),
        ("apps.explode", {}, Refusal.NOT_FOUND),
        ("logs.read", {"app": "none"}, Refusal.NOT_FOUND),
        ("builds.push", {"app": "demo", "body": {"source": "relative", "commit": "x"}}, Refusal.INVALID),
        ("builds.push", {"app": "demo", "body": {}}, Refusal.INVALID),
        ("dynos.attach", {"app": "demo", "body": {"command": "ls", "columns": 0}}, Refusal.INVALID),
        ("dynos.explain", {"app": "demo", "dyno": "web.9"}, Refusal.NOT_FOUND),
        ("lab.advance", {"body": {}}, Refusal.INVALID),
        ("lab.advance", {"body": {"seconds": -1}}, Refusal.INVALID),
        ("lab.advance", {"body": {"seconds": "1"}}, Refusal.INVALID),
        ("dynos.exec", {"app": "demo", "dyno": "web.9", "body": {"command": "ls"}}, Refusal.NOT_FOUND),
        ("dynos.forward", {"app": "demo", "dyno": "web.9", "body": {"port": 80}}, Refusal.NOT_FOUND),
    ],
)
def test_a_refusal_comes_with_its_id(method, params, refusal):
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        with pytest.raises(Refused) as caught:
            await peer.call(method, params)
        assert caught.value.refusal is refusal

    told(story)


def test_the_socket_is_for_its_owner_and_group():
    async def story(whole, _):
        assert stat.S_IMODE(os.stat(control_socket(whole.run)).st_mode) == 0o660

    told(story)


def test_who_may_come_in(monkeypatch):
    class Owner:
        def owner(self):
            return "owner"

    monkeypatch.setattr(auth.os, "geteuid", lambda: 4000)
    monkeypatch.setattr(auth, "_groups", lambda uid, gid: {"dynod"} if uid == 5000 else {"users"})
    for uid in (0, 4000, 5000):
        assert auth.peer(Owner(), uid, 100) == "owner"
    with pytest.raises(Refused, match="uid 6000"):
        auth.peer(Owner(), 6000, 100)


def test_groups_of_a_user_and_of_nobody():
    assert "root" in auth._groups(0, 0)
    assert auth._groups(3_999_999, 3_999_999) == set()


def test_a_push_is_built_and_its_transcript_streamed(tmp_path):
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        source = tmp_path / "app.tar"
        source.write_bytes(b"tar")
        body = {"source": str(source), "commit": "0123456789abcdef", "description": "First"}
        stream = await peer.stream("builds.push", {"app": "demo", "body": body})
        assert b"".join(await items(stream)).startswith(b"-----> Building")
        assert stream.result == {"status": "succeeded", "release": 3}
        build = whole.platform.builds(whole.platform.app("demo"))[0]
        again = await peer.stream("builds.output", {"app": "demo", "build": build.id})
        assert b"".join(await items(again)).endswith(b"Launching...\n")
        assert again.result == stream.result

    told(story)


def test_a_build_goes_on_when_the_pusher_goes(tmp_path):
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        whole.platform.build_gate.clear()
        (tmp_path / "app.tar").write_bytes(b"tar")
        body = {"source": str(tmp_path / "app.tar"), "commit": "abc"}
        stream = await peer.stream("builds.push", {"app": "demo", "body": body})
        async for _ in stream:
            break
        await stream.cancel()
        whole.platform.build_gate.set()
        assert (await peer.call("builds.list", {"app": "demo"}))[0]["status"] == "succeeded"

    told(story)


def test_release_output_is_streamed():
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        demo = whole.platform.app("demo")
        slug = whole.platform._slug(demo, b"x", {"web": "serve", "release": "migrate"}, "abc", "")
        await whole.ask("POST", "/apps/demo/releases", {"slug": slug.id})
        stream = await peer.stream("releases.output", {"app": "demo", "release": "v3"})
        assert await items(stream) == [b"migrating\ndone\n"]
        assert stream.result == {"status": "succeeded"}

    told(story)


def test_logs_come_in_lists_and_a_tail_goes_on():
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        demo = whole.platform.app("demo")
        line = await whole.platform.say(demo, "hello")
        stream = await peer.stream("logs.read", {"app": "demo", "body": {"lines": 1}})
        assert await items(stream) == [
            [{"at": line.at, "source": "app", "process": "web.1", "text": "hello"}],
        ]
        tail = await peer.stream("logs.read", {"app": "demo", "body": {"tail": True}})
        seen = []
        async for batch in tail:
            seen += [one["text"] for one in batch]
            if seen == ["hello"]:
                await whole.platform.say(demo, "fresh")
            if seen == ["hello", "fresh"]:
                break
        await tail.cancel()
        while whole.platform.tails:
            await peer.call("account.info")

    told(story)


def test_an_attached_one_off_is_typed_into():
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        body = {"command": "stty size; cat; exit 7", "columns": 90, "lines": 20, "env": {"TERM": "dumb"}}
        stream = await peer.stream("dynos.attach", {"app": "demo", "body": body})
        seen, took, names = b"", 0, []
        async for item in stream:
            if isinstance(item, dict):
                took += item.get("took", 0)
                names += [item["name"]] if "name" in item else []
                continue
            seen += item
            if seen.endswith(b"20 90\r\n"):
                await stream.send(b"typed\n")
            if seen.endswith(b"typed\r\ntyped\r\n"):
                await stream.send({"eof": True})
        assert stream.result["status"] == 7
        assert stream.result["name"].startswith("run.")
        assert names == [stream.result["name"]]  # once, before all else: who waits sees whom he waits for
        assert took == 6

    told(story)


async def with_web(whole):
    await whole.ask("POST", "/apps", {"name": "demo"})
    house = whole.platform.house("demo")
    house.dynos = [whole.platform._view(house, "web", 1, "serve")]


def test_a_command_in_a_dyno_is_typed_into_and_its_window_changes():
    async def story(whole, peer):
        await with_web(whole)
        body = {
            "command": "trap 'stty size; exit 5' WINCH; echo up; while :; do read x; done",
            "columns": 90,
            "lines": 20,
        }
        stream = await peer.stream("dynos.exec", {"app": "demo", "dyno": "web.1", "body": body})
        seen = b""
        async for item in stream:
            seen += item if isinstance(item, bytes) else b""
            if seen.endswith(b"up\r\n"):
                await stream.send({"columns": 0, "lines": -1})
                await stream.send({"columns": 91, "lines": 21})
        assert seen.endswith(b"21 91\r\n")
        assert stream.result == {"status": 5, "name": "web.1"}
        kind, name, asked = whole.platform.done[-1]
        assert (kind, name, asked.env) == ("exec", "web.1", {"COLUMNS": "90", "LINES": "20"})

    told(story)


def test_a_port_is_forwarded_and_both_ends_may_end():
    async def story(whole, peer):
        await with_web(whole)
        stream = await peer.stream("dynos.forward", {"app": "demo", "dyno": "web.1", "body": {"port": 5432}})
        got = []
        await stream.send(b"there and back")
        async for item in stream:
            got.append(item)
            if item == b"there and back":
                await stream.send({"eof": True})
        assert got[0] == {"name": "web.1"}
        assert b"there and back" in got
        assert ("dial", "web.1", 5432) in whole.platform.done

    told(story)


@pytest.mark.parametrize("body", [{}, {"port": 0}, {"port": 65_536}, {"port": "80"}])
def test_a_port_must_be_one(body):
    async def story(whole, peer):
        await with_web(whole)
        with pytest.raises(Refused) as caught:
            await peer.call("dynos.forward", {"app": "demo", "dyno": "web.1", "body": body})
        assert caught.value.refusal is Refusal.INVALID

    told(story)


def test_who_says_nothing_for_an_hour_is_hung_up_on(monkeypatch):
    monkeypatch.setattr(dynos, "IDLE", 0.05)

    async def story(whole, peer):
        await with_web(whole)
        stream = await peer.stream("dynos.exec", {"app": "demo", "dyno": "web.1", "body": {"command": "cat"}})
        with pytest.raises(Refused, match="so we hung up"):
            await items(stream)
        await whole.platform.children[0].closed.wait()

    told(story)


def test_a_caller_who_leaves_hangs_up():
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        stream = await peer.stream("dynos.attach", {"app": "demo", "body": {"command": "echo up; cat"}})
        async for _ in stream:
            break
        await stream.cancel()
        await whole.platform.children[0].closed.wait()

    told(story)


def test_what_was_mounted_is_told():
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        house = whole.platform.house("demo")
        house.dynos = [whole.platform._view(house, "web", 1, "serve")]
        lines = await peer.call("dynos.explain", {"app": "demo", "dyno": "web.1"})
        assert lines == ["mount overlay on /app", "name web.1"]

    told(story)


def test_time_is_moved_and_told():
    async def story(whole, peer):
        assert await peer.call("lab.advance", {"body": {"seconds": 60}}) == {"now": "2023-11-14T22:14:20Z"}
        await peer.call("lab.advance", {"body": {"seconds": -60, "wall_only": True}})
        assert whole.platform.moved == [(60, False), (-60, True)]

    told(story)


def test_one_connection_carries_many_calls():
    async def story(whole, peer):
        await whole.ask("POST", "/apps", {"name": "demo"})
        asked = [peer.call("apps.info", {"app": "demo"}) for _ in range(50)]
        assert {one["name"] for one in await asyncio.gather(*asked)} == {"demo"}

    told(story)
