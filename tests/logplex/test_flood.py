"""A dyno that floods its log: nobody waits for it, nobody else pays, and what was dropped is counted to the line."""

import asyncio
import os
import re
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import run, until

from dynod.logplex import intake
from dynod.logplex.flood import BURST, Allowance, overflow
from tests.logplex.plex_house import House

TOLD = re.compile(r"Error L12: (\d+) messages dropped since (\S+)\.")


# -- the allowance -------------------------------------------------------------------------------------------------------


def test_so_many_seconds_worth_may_come_at_once_and_then_the_rate():
    allowance = Allowance(10, 100.0)
    assert allowance.allows(100.0)
    allowance.spend(100, 100)
    assert not allowance.allows(100.0)
    assert allowance.allows(100.1)
    allowance.spend(1, 1)
    assert not allowance.allows(100.1)


def test_a_long_line_costs_its_kibibytes():
    allowance = Allowance(1, 0.0)
    allowance.spend(1, 10 * 1024)
    assert not allowance.allows(0.0)
    assert allowance.allows(0.5)


def test_more_than_was_left_is_paid_off_first():
    allowance = Allowance(10, 0.0)
    allowance.spend(150, 0)
    assert not allowance.allows(5.0)
    assert allowance.allows(5.1)


def test_without_a_limit_everything_passes_and_one_that_is_set_later_holds_at_once():
    allowance = Allowance(0, 0.0)
    allowance.spend(10**9, 10**12)
    assert allowance.allows(0.0)
    allowance.limit(10)
    assert not allowance.allows(0.0)


def test_a_clock_that_stands_gives_nothing():
    allowance = Allowance(10, 50.0)
    allowance.spend(100, 0)
    assert not allowance.allows(49.0)


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 300)), max_size=50))
def test_over_time_nobody_gets_more_than_the_rate(steps):
    allowance, now, passed, most = Allowance(7, 0.0), 0.0, 0, 0
    for wait, lines in steps:
        now += wait
        if allowance.allows(now):
            allowance.spend(lines, 0)
            passed += lines
            most = max(most, lines)
    assert passed <= 7 * (BURST + now) + most + 1e-6


def test_what_was_dropped_is_told_once_since_the_first():
    allowance = Allowance(1, 0.0)
    assert allowance.drop(3, 5_000_000)
    assert not allowance.drop(4, 9_000_000)
    assert not Allowance(1, 0.0).drop(0, 1)
    assert allowance.told() == (7, 5_000_000)
    assert allowance.told()[0] == 0
    line = overflow("web.1", 222, 1_660_914_206_143_643, 7)
    assert line.text == "Error L12: 222 messages dropped since 2022-08-19T13:03:26.143643+00:00."
    assert (line.source, line.process, line.at) == ("heroku", "web.1", 7)
    assert overflow("web.1", 1, 5_000_000, 7).text.endswith("since 1970-01-01T00:00:05.000000+00:00.")


# -- for real --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def house(tmp_path, monkeypatch):
    monkeypatch.setattr(intake, "TELL", 0.2)
    made = House(tmp_path, rate=50)
    yield made
    made.close()  # every pipe was read to its end, which needs a loop


def flooded(write, lines):
    """Write so many numbered lines from a thread, as an app does, and close; give the thread."""

    def app():
        with os.fdopen(write, "wb") as out:
            for number in range(lines):
                out.write(b"%d of the flood\n" % number)

    thread = threading.Thread(target=app)
    thread.start()
    return thread


def counted(house):
    """Lines of the flood that are in the log, and those it says were dropped."""
    texts = house.texts()
    told = [int(found[1]) for text in texts if (found := TOLD.fullmatch(text))]
    kept = [int(text.split()[0]) for text in texts if text.endswith(" of the flood")]
    return kept, told


def test_every_line_of_a_flood_is_kept_or_counted(house, tmp_path):
    house.plex.history = 10**6

    async def story():
        writer = flooded(house.dyno(), 300_000)
        await house.until_read()
        writer.join(10)
        house.forget_dyno()

    run(story())
    kept, told = counted(house)
    assert kept == sorted(set(kept))
    assert sum(told) == house.plex.stat()["dropped"] > 0
    assert house.plex.lines - len(told) + sum(told) == 300_000


def test_the_flood_of_one_dyno_takes_nothing_from_another(house):
    async def story():
        calm = house.dyno("calm", {"app": "app-2", "name": "web.1"})
        loud = house.dyno("loud")
        os.set_blocking(loud, False)
        for number in range(40):
            for _ in range(50):
                try:
                    os.write(loud, b"y\n" * 30_000)
                except BlockingIOError:
                    break
            os.write(calm, b"calm %d\n" % number)
            await house.until_texts(number + 1, app="app-2")
        assert house.texts(app="app-2") == [f"calm {number}" for number in range(40)]
        os.close(loud)
        os.close(calm)
        await house.until_read()
        house.forget_dyno("loud")

    run(story())
    assert house.plex.stat()["dropped"] > 0


def test_the_app_never_waits_for_more_than_a_gulp(house):
    """What an app writes at a stretch is taken from its pipe however much it is over its rate."""

    async def story():
        writer = flooded(house.dyno(), 100_000)  # 2 MB: thirty pipes full
        await asyncio.to_thread(writer.join, 50)
        assert not writer.is_alive()
        await house.until_read()

    run(story())


def test_a_line_is_dropped_whole_and_the_next_one_is_whole(house):
    async def story():
        write = house.dyno()
        os.write(write, b"first\n" * 5_000)  # more than its burst, by what it has in a minute and a half
        await house.until_texts(5_000)
        os.write(write, b"cut ")
        os.write(write, b"off" * 3_000)
        await until(lambda: house.plex.stat()["dropped"] or told(house), watch=[house.ring()])
        os.write(write, b" here\nwhole\n" + b"last\n")
        house.plex.limit(0)
        os.write(write, b"after\n")
        await until(lambda: house.texts()[-1:] == ["after"], watch=[house.ring()])
        os.close(write)
        await house.until_read()

    def told(house):
        return any(TOLD.fullmatch(text) for text in house.texts())

    run(story())
    texts = [text for text in house.texts() if text != "first"]
    assert not any("off" in text or "here" in text for text in texts)
    assert texts[-1] == "after"


def test_a_limit_that_is_told_later_holds_for_dynos_that_are_there(tmp_path):
    house = House(tmp_path)
    assert house.plex.stat()["rate"] == 0

    async def story():
        write = house.dyno()
        os.write(write, b"a\n" * 5_000)
        await house.until_texts(5_000)
        house.plex.limit(10)
        os.write(write, b"b\n" * 5_000)
        os.close(write)
        await house.until_read()
        house.forget_dyno()

    run(story())
    assert "Error L12: 5000 messages dropped since" in house.texts()[-1]
    house.plex.close()


def test_after_a_kill_the_next_one_goes_on_behind_what_was_dropped(house):
    async def story():
        write = house.dyno()
        os.write(write, b"x\n" * 2_000)
        await house.until_texts(1)
        os.write(write, b"x\n" * 2_000)
        await until(lambda: house.plex.dropped or TOLD.search("".join(house.texts())), watch=[house.ring()])
        house.restart()
        house.host_again()
        os.write(write, b"behind\n")
        await until(lambda: "behind" in house.texts(), watch=[house.ring()])
        os.close(write)
        await house.until_read()

    run(story())
    assert house.texts().count("x") == 2_000
