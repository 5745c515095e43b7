"""Logplex as a process: killed with SIGKILL while dynos and the platform write, deserted by its host, with readers who do not read."""

import asyncio
import os
import random
import sys
from contextlib import aclosing

import msgpack
import pytest
from log_house import log_house
from waiting import has_ended, run, until, until_exists

from dynod.host.log_link import LogLink
from dynod.link import RemoteRefused, connect
from dynod.model.log import LogQuery
from dynod.model.refused import Refused
from dynod.wire.rpc import Request, encode

APP = "0e1f7c1a-9d5b-4c8e-8a57-2f1f6d3a7b10"
LABELS = {"app": APP, "app_name": "demo", "name": "web.1", "type": "web", "release": "v3"}
WRITER = """
import os, sys
lines, size = int(sys.argv[1]), int(sys.argv[2])
for first in range(0, lines, 500):
    os.read(0, 1)
    data = b"".join(b"%d %s\\n" % (n, b"x" * (n % 150)) for n in range(first, min(first + 500, lines)))
    while data:
        data = data[os.write(1, data[:size]):]
"""


async def writer(write, lines, size=777):
    """A process that writes numbered lines in pieces that end anywhere, 500 for each byte that it is given.

    The test's own write end is closed.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", WRITER, str(lines), str(size), stdin=asyncio.subprocess.PIPE, stdout=write
    )
    os.close(write)
    return process


async def until_read_to_the_end(host, id, directory):
    """Let the dyno be gone, and logplex have all it ever wrote."""
    spool = f"{directory}/state/logs/.spool"
    host.forget(id)
    await until(lambda: not os.listdir(spool), watch=[spool])


def numbers(lines):
    return [int(line.text.split()[0]) for line in lines]


async def first(rows, count):
    """Return the first `count` lines of a tail."""
    found = []
    async with aclosing(rows):
        async for line in rows:
            found.append(line)
            if len(found) == count:
                break
    return found


def test_no_line_of_a_dyno_is_lost_or_doubled_by_kills(tmp_path):
    async def story():
        async with log_house(tmp_path, history=50_000) as (host, logplex):
            link = LogLink(logplex.socket)
            total, kills, seen, chance = 20_000, 0, [], random.Random(5)
            process = await writer(host.dyno("dyno-1", **LABELS), total)
            process.stdin.write(b"..")  # up to 1,000 lines are under way: fewer than a tail may hold back
            next_kill = 700
            async with aclosing(link.tail(LogQuery(APP, lines=50_000))) as lines:
                async for line in lines:
                    seen.append(line)
                    if len(seen) == total:
                        break
                    if len(seen) % 500 == 0:
                        process.stdin.write(b".")
                    if len(seen) == next_kill:
                        await logplex.kill()
                        await logplex.start()
                        kills += 1
                        next_kill += chance.randrange(500, 1_500)
            process.stdin.close()
            assert await process.wait() == 0
            assert kills >= 10
            assert numbers(seen) == list(range(total))
            await until_read_to_the_end(host, "dyno-1", tmp_path)
            assert numbers(await link.recent(LogQuery(APP, lines=50_000))) == list(range(total))
            await link.close()

    run(story(), cap=200)


def test_nor_by_kills_at_full_speed(tmp_path):
    """The writer waits for nobody: logplex dies in its first write or its first few, with a full pipe behind it."""

    async def story():
        async with log_house(tmp_path, history=200_000) as (host, logplex):
            total = 100_000
            process = await writer(host.dyno("dyno-1", **LABELS), total, 60_000)
            process.stdin.write(b"." * total)
            ring = f"{tmp_path}/state/logs/{APP}/{0:020d}.ring"
            await until_exists(os.path.dirname(ring))
            await until_exists(ring)
            kills = 0
            while kills < 5 and not has_ended(process.pid):
                size = os.stat(ring).st_size
                await until(
                    lambda size=size: os.stat(ring).st_size != size or has_ended(process.pid),
                    watch=[ring],
                    pids=[process.pid],
                )
                await logplex.kill()
                await logplex.start()
                kills += 1
            process.stdin.close()
            assert await process.wait() == 0
            await until_read_to_the_end(host, "dyno-1", tmp_path)
            link = LogLink(logplex.socket)
            assert numbers(await link.recent(LogQuery(APP, lines=200_000))) == list(range(total))
            await link.close()

    run(story(), cap=200)


def test_lines_written_while_logplex_is_dead_wait_in_the_pipe(tmp_path):
    async def story():
        async with log_house(tmp_path) as (host, logplex):
            link = LogLink(logplex.socket, patience=30)
            write = host.dyno("dyno-1", **LABELS)
            os.write(write, b"0 alive\n1 ha")
            assert numbers(await first(link.tail(LogQuery(APP)), 1)) == [0]
            await logplex.kill()
            os.write(write, b"lf\n2 dead\n3 last words")
            os.close(write)
            await logplex.start()
            lines = await first(link.tail(LogQuery(APP)), 4)
            assert [line.text for line in lines] == ["0 alive", "1 half", "2 dead", "3 last words"]
            await link.close()

    run(story())


def test_no_line_of_the_platform_is_lost_or_doubled_by_kills(tmp_path):
    async def story():
        async with log_house(tmp_path, history=50_000) as (_, logplex):
            link = LogLink(logplex.socket)
            total = 6_000
            async with aclosing(link.tail(LogQuery(APP, source="heroku", lines=50_000))) as lines:
                for number in range(500):
                    link.write(APP, "heroku", "api", f"{number}", at_us=number + 1)
                seen, sent = [], 500
                async for line in lines:
                    seen.append(line)
                    if len(seen) == total:
                        break
                    if sent < total:
                        link.write(APP, "heroku", "api", f"{sent}", at_us=sent + 1)
                        sent += 1
                    if len(seen) % 500 == 0:
                        await logplex.kill()
                        await logplex.start()
            assert numbers(seen) == list(range(total))
            assert numbers(await link.recent(LogQuery(APP, lines=50_000))) == list(range(total))
            await link.close()
            assert link.waiting == 0

    run(story(), cap=200)


def test_a_host_that_is_killed_takes_no_line_with_it(tmp_path):
    async def story():
        async with log_house(tmp_path) as (host, logplex):
            link = LogLink(logplex.socket, patience=30)
            write = host.dyno("dyno-1", **LABELS)
            os.write(write, b"0 before\n")
            assert numbers(await first(link.tail(LogQuery(APP)), 1)) == [0]
            host.crash()
            os.write(write, b"1 host is dead\n")
            host.asked.clear()
            host.start()
            await host.asked.wait()
            os.write(write, b"2 host is back\n")
            other = host.dyno("dyno-2", **LABELS)
            os.write(other, b"3 from a new dyno\n")
            assert sorted(numbers(await first(link.tail(LogQuery(APP)), 4))) == [0, 1, 2, 3]
            os.close(write)
            os.close(other)
            await link.close()

    run(story())


def test_a_dyno_that_was_forgotten_while_logplex_was_dead(tmp_path):
    async def story():
        async with log_house(tmp_path) as (host, logplex):
            link = LogLink(logplex.socket, patience=30)
            write = host.dyno("dyno-1", **LABELS)
            os.write(write, b"0 whole\n1 no end")
            assert numbers(await first(link.tail(LogQuery(APP)), 1)) == [0]
            await logplex.kill()
            os.close(write)
            host.forget("dyno-1")
            await logplex.start()
            assert [line.text for line in await first(link.tail(LogQuery(APP)), 2)] == ["0 whole", "1 no end"]
            assert os.listdir(f"{tmp_path}/state/logs/.spool") == []
            await link.close()

    run(story())


async def read_rows(reader, enough):
    unpacker, rows = msgpack.Unpacker(), []
    while not enough(rows):
        unpacker.feed(await reader.read(65536))
        for _, method, (_, items) in unpacker:
            assert method == "item"
            rows += items
    return rows


def test_a_reader_who_does_not_read_loses_lines_and_is_told(tmp_path):
    async def story():
        async with log_house(tmp_path, history=100_000) as (host, logplex):
            link = LogLink(logplex.socket)
            reader, connection = await asyncio.open_unix_connection(logplex.socket, limit=1024)
            connection.write(encode(Request(1, "tail", {"app": APP, "lines": 0})))
            peer = await connect(logplex.socket)
            while (await peer.call("stat"))["tails"] < 1:
                pass
            total = 40_000
            process = await writer(host.dyno("dyno-1", **LABELS), total, 60_000)
            process.stdin.write(b"." * total)
            assert await process.wait() == 0  # the dyno is not held up
            process.stdin.close()
            await until_read_to_the_end(host, "dyno-1", tmp_path)
            # Nor others.
            assert numbers(await link.recent(LogQuery(APP, lines=100_000))) == list(range(total))
            link.write(APP, "heroku", "api", "end")
            rows = await read_rows(reader, lambda rows: rows and rows[-1][2:] == ["api", "end"])
            told = [row for row in rows if row[1:3] == ["heroku", "logplex"]]
            lost = sum(int(row[3].split()[10]) for row in told)
            assert lost > 0
            assert told[0][3].startswith("Error L11 (Tail buffer overflow) -> This tail session dropped ")
            assert len([row for row in rows if row[1] == "app"]) + lost == total
            connection.close()
            while (await peer.call("stat"))["tails"]:
                pass
            await peer.close()
            await link.close()

    run(story(), cap=120)


def test_what_the_door_takes_and_refuses(tmp_path):
    async def story():
        async with log_house(tmp_path) as (_, logplex):
            peer = await connect(logplex.socket)
            await peer.notify(
                "lines", [[APP, 5, "heroku", "router", "at=info"], ["../x", 5, "a", "b", "c"], 7, None]
            )
            await peer.notify("lines", "no list")
            await peer.notify("nonsense", [])
            stat = await peer.call("stat")
            assert (stat["lines"], stat["refused"], stat["host"]) == (1, 5, True)
            assert await peer.call("recent", {"app": APP}) == [[5, "heroku", "router", "at=info"]]
            assert await peer.call("recent", {"app": APP, "dyno": "web"}) == []
            wrong = [
                ("recent", {}),
                ("forget", {"app": "../.."}),
                ("forget", None),
                ("rate", {"rate": -1}),
                ("rate", {"rate": True}),
                ("rate", None),
                ("write", {}),
                ("dance", None),
            ]
            for method, params in wrong:
                with pytest.raises(RemoteRefused, match="cannot"):
                    await peer.call(method, params)
            with pytest.raises(RemoteRefused, match="cannot read the log"):
                async for _ in await peer.stream("tail", {"app": 7}):
                    pass
            big = ["y" * 10_000] * 1_000
            await peer.call(
                "write",
                {"writer": "w", "first": 1, "rows": [[APP, None, "app", "api", text] for text in big]},
            )
            newest = await peer.call("recent", {"app": APP, "lines": 1500})
            assert 100 < len(newest) < 1_000  # as many as fit in an answer
            link = LogLink(logplex.socket)
            assert len(await link.recent(LogQuery(APP, lines=1500))) == 1_001
            await link.forget(APP)
            assert await link.recent(LogQuery(APP)) == []
            await peer.close()
            await link.close()

    run(story())


def test_a_tail_gives_history_and_goes_on(tmp_path):
    async def story():
        async with log_house(tmp_path) as (_, logplex):
            link = LogLink(logplex.socket)
            for number in range(5):
                link.write(APP, "heroku", "router", f"{number}")
            lines = link.tail(LogQuery(APP, lines=2, dyno="router", source="heroku"))
            assert numbers([await anext(lines)]) in ([0], [3])  # before or after the lines were in
            link.write(APP, "heroku", "api", "0 not asked for")
            link.write(APP, "heroku", "router", "9 two\nlines of it\n")
            seen = []
            async for line in lines:
                seen.append(line.text)
                if line.text == "lines of it":
                    break
            assert seen[-2:] == ["9 two", "lines of it"]
            await lines.aclose()
            await link.close()

    run(story())


def test_a_tail_ends_with_its_app_and_tells_the_last_lines_first(tmp_path):
    """Who tails the log of an app that is destroyed would wait for ever."""

    async def story():
        async with log_house(tmp_path) as (_, logplex):
            link = LogLink(logplex.socket)
            link.write(APP, "heroku", "api", "first")
            link.write("other", "heroku", "api", "other")
            lines, others = link.tail(LogQuery(APP)), link.tail(LogQuery("other"))
            assert [(await anext(each)).text for each in (lines, others)] == ["first", "other"]
            link.write(APP, "heroku", "api", "last")
            while link.waiting:
                await link.recent(LogQuery(APP))
            await link.forget(APP)
            assert [line.text async for line in lines] == ["last"]
            assert [line.text async for line in link.tail(LogQuery(APP))] == []  # nor for who comes later
            link.write("other", "heroku", "api", "goes on")
            assert (await anext(others)).text == "goes on"
            await others.aclose()
            await link.close()

    run(story())


def test_a_link_without_logplex(tmp_path):
    async def story():
        async with log_house(tmp_path) as (_, logplex):
            await logplex.kill()
            link = LogLink(logplex.socket, rows=3, patience=0.2)
            for number in range(10):
                link.write(APP, "heroku", "api", f"{number}", at_us=1_000_000 + number)
            assert link.waiting == 3
            with pytest.raises(Refused, match="logplex is away"):
                await link.recent(LogQuery(APP))
            with pytest.raises(Refused, match="cannot drop the log of"):
                await link.forget(APP)
            await logplex.start()
            seen = [line.text for line in await first(link.tail(LogQuery(APP)), 4)]
            lost = "Error L12: 7 messages dropped since 1970-01-01T00:00:01.000003+00:00."
            assert seen == ["0", "1", "2", lost]
            await link.close()
            await logplex.kill()
            again = LogLink(logplex.socket, patience=0.1)
            again.write(APP, "heroku", "api", "never")
            await again.close()
            assert again.waiting == 1
            await logplex.start()
            await logplex.ready()

    run(story())
