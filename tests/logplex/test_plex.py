"""dynod.logplex.plex with real pipes and files: what dynos write comes out once, whoever ended when."""

import os

from waiting import until

from dynod.logplex.intake import TURN
from dynod.logplex.lines import LINE_BYTES
from dynod.logplex.plex import UNCLAIMED, Plex
from dynod.logplex.query import Ask
from dynod.model.log import LogQuery
from tests.logplex.plex_house import APP, LABELS, housed


@housed
async def test_lines_of_a_dyno_reach_its_apps_ring(house):
    write = house.dyno()
    os.write(write, b"one\ntwo\r\nthr")
    await house.until_texts(2)
    assert house.history() == [("web.1", "one"), ("web.1", "two")]
    os.write(write, b"ee\n")
    await house.until_texts(3)
    assert house.texts()[2] == "three"
    assert house.plex.stat() == {
        "lines": 3,
        "rings": 1,
        "dynos": 1,
        "reading": 1,
        "unkept_bytes": 0,
        "dropped": 0,
        "rate": 0,
        "tails": 0,
    }
    os.close(write)


@housed
async def test_the_last_line_needs_no_end(house):
    write = house.dyno()
    os.write(write, b"Traceback\nKeyError: 'x'")
    os.close(write)
    await house.until_texts(2)
    assert house.texts() == ["Traceback", "KeyError: 'x'"]
    house.forget_dyno()
    assert house.spools() == []
    assert house.texts() == ["Traceback", "KeyError: 'x'"]


@housed
async def test_a_dyno_that_is_gone_is_read_to_its_end_first(house):
    write = house.dyno()
    sent = b"".join(b"%d\n" % number for number in range(8_000))
    assert os.write(write, sent) > TURN
    os.write(write, b"last words")
    house.forget_dyno()
    assert house.texts()[-3:] == ["7998", "7999", "last words"]
    assert house.spools() == []
    os.close(write)


@housed
async def test_half_a_line_survives_a_restart_and_is_not_cut(house):
    write = house.dyno()
    os.write(write, b"first\nhal")
    await house.until_texts(1)
    house.restart()
    house.host_again()
    os.write(write, b"f\n")
    await house.until_texts(2)
    assert house.texts() == ["first", "half"]
    os.close(write)


@housed
async def test_a_dyno_that_ended_while_logplex_was_away(house):
    write = house.dyno()
    os.write(write, b"first\nhal")
    await house.until_texts(1)
    house.restart()
    os.close(house.dynos.pop("dyno-1")[0])
    os.close(write)
    assert house.texts() == ["first"]
    house.plex.listed(frozenset())
    assert house.texts() == ["first", "hal"]
    assert house.spools() == []
    house.restart()
    assert house.texts() == ["first", "hal"]


@housed
async def test_a_dyno_that_the_host_lost_is_read_until_its_pipe_ends(house):
    write = house.dyno()
    os.write(write, b"one\n")
    await house.until_texts(1)
    house.plex.listed(frozenset())
    os.write(write, b"two\n")
    await house.until_texts(2)
    os.close(write)
    await until(lambda: not house.spools(), watch=[f"{house.directory}/.spool"])
    assert house.texts() == ["one", "two"]
    assert house.plex.stat()["dynos"] == 0


@housed
async def test_the_same_pipe_given_twice_is_read_once(house):
    write = house.dyno()
    before = len(os.listdir("/proc/self/fd"))
    house.host_again()
    house.host_again()
    assert len(os.listdir("/proc/self/fd")) == before
    os.write(write, b"once\n")
    os.close(write)
    await house.until_texts(1)
    await house.until_read()
    house.host_again()
    assert house.texts() == ["once"]


@housed
async def test_a_flood_does_not_starve_others(house):
    """A turn takes a bounded number of bytes, so a quiet dyno's line comes before the flood's second turn has passed."""
    flood, quiet = house.dyno("flood"), house.dyno("quiet", {**LABELS, "name": "worker.1"})
    os.set_blocking(flood, False)
    while True:
        try:
            os.write(flood, b"y" * 99 + b"\n")
        except BlockingIOError:
            break
    os.write(quiet, b"let me through\n")
    await house.until_texts(1, dyno="worker")
    loud = house.texts(dyno="web")
    assert house.texts(dyno="worker") == ["let me through"]
    before = house.texts().index("let me through")
    assert before <= 2 * TURN // 100 + 1
    assert len(loud) <= 65536 // 100 + 1
    os.close(flood)
    os.close(quiet)


@housed
async def test_long_lines_are_split_and_bad_bytes_shown(house):
    write = house.dyno()
    os.write(write, b"x" * (LINE_BYTES + 5) + b"\n\xff\xfe\0\n")
    await house.until_texts(3)
    assert house.texts() == ["x" * LINE_BYTES, "x" * 5, "\ufffd" * 3]
    os.close(write)


@housed
async def test_times_are_strictly_monotonic_even_if_the_clock_is_not(house):
    house.plex.close()
    house.plex = Plex(house.directory, now_us=iter([5_000_000, 4_000_000, 3]).__next__)
    write = house.dyno()
    for number in range(1, 4):
        os.write(write, b"a\nb\n")
        await house.until_texts(2 * number)
    times = [record.at for _, record in house.plex.ask(Ask(LogQuery(APP)))]
    assert times == [5_000_000 + number for number in range(6)]
    os.close(write)


@housed
async def test_a_dyno_without_labels_is_read_all_the_same(house):
    write = house.dyno("dyno-x", {"app": "../../etc", "name": "we b"})
    os.write(write, b"hello\n")
    house.ring(UNCLAIMED)
    await until(lambda: house.history(UNCLAIMED), watch=[house.ring(UNCLAIMED)])
    assert house.history(UNCLAIMED) == [("dyno", "hello")]
    os.close(write)
