"""dynod.logplex.plex with real pipes and files: what dynos write comes out once, whoever ended when."""

import errno
import os

import pytest
from waiting import run, until

from dynod.logplex import spool as spool_module
from dynod.logplex.intake import TURN
from dynod.logplex.lines import LINE_BYTES
from dynod.logplex.plex import UNCLAIMED, Plex
from dynod.logplex.query import Ask
from dynod.logplex.records import Record
from dynod.logplex.spool import SEGMENT
from dynod.logplex.tail import Tail
from dynod.model.log import LogQuery

APP = "app-1"
LABELS = {"app": APP, "name": "web.1", "type": "web", "release": "v3"}


class House:
    """A state directory, the dynos' pipes as a dyno host keeps them, and the Plex of the moment."""

    def __init__(self, tmp_path, **options):
        self.directory = f"{tmp_path}/logs"
        self.options = options
        self.dynos = {}
        self.plex = Plex(self.directory, **options)

    def dyno(self, id="dyno-1", labels=LABELS):
        """Make a dyno's pipe; return the end it writes to."""
        read, write = os.pipe()
        self.dynos[id] = (read, labels)
        self.plex.piped(id, labels, os.dup(read))
        return write

    def restart(self):
        self.plex.close()
        self.plex = Plex(self.directory, **self.options)

    def host_again(self):
        for id, (read, labels) in self.dynos.items():
            self.plex.piped(id, labels, os.dup(read))
        self.plex.listed(frozenset(self.dynos))

    def forget_dyno(self, id="dyno-1"):
        os.close(self.dynos.pop(id)[0])
        self.plex.gone(id)

    def history(self, app=APP, **query):
        query = LogQuery(app, **{"lines": 10**6, **query})
        return [(record.process, record.text) for _, record in self.plex.ask(Ask(query))]

    def texts(self, **query):
        return [text for _, text in self.history(**query)]

    def spools(self):
        return os.listdir(f"{self.directory}/.spool")

    async def until_texts(self, count, **query):
        await until(
            lambda: len(self.texts(**query)) >= count,
            watch=[f"{self.directory}/.", self.ring()],
            what="no lines",
        )

    def ring(self, app=APP):
        os.makedirs(f"{self.directory}/{app}", exist_ok=True)
        return f"{self.directory}/{app}"

    def close(self):
        self.plex.close()
        for read, _ in self.dynos.values():
            os.close(read)


def housed(story, cap=60):
    """Turn `async def story(house, ...)` into a test that gets a House and closes it."""

    def test(tmp_path):
        async def told():
            house = House(tmp_path)
            try:
                await story(house)
            finally:
                house.close()

        run(told(), cap)

    test.__doc__ = story.__doc__
    return test


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
    await until(lambda: not house.plex.stat()["reading"], watch=[house.ring()])
    house.host_again()
    assert house.texts() == ["once"]


@housed
async def test_spools_do_not_grow(house):
    write = house.dyno()
    for number in range(1, 41):
        os.write(write, b"x" * (SEGMENT // 8 - 1) + b"\n")
        await house.until_texts(number * 4)  # 32,767 bytes are four lines
    assert len(os.listdir(house.path(house.spools()[0]))) <= 2
    os.close(write)


House.path = lambda house, name: f"{house.directory}/.spool/{name}"


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


@housed
async def test_a_forgotten_app_leaves_nothing_and_its_late_lines_too(house):
    write = house.dyno()
    os.write(write, b"one\n")
    await house.until_texts(1)
    house.plex.add("app-2", [Record(1, "heroku", "router", "other")])
    house.plex.forget(APP)
    assert not os.path.exists(f"{house.directory}/{APP}")
    os.write(write, b"late\n")
    house.plex.add(APP, [Record(1, "heroku", "router", "late")])
    os.close(write)
    await until(
        lambda: not house.plex.stat()["reading"],
        watch=[f"{house.directory}/.spool", *map(house.path, house.spools())],
    )
    house.forget_dyno()
    assert house.texts() == []
    assert os.listdir(f"{house.directory}/.spool") == []
    assert not os.path.exists(f"{house.directory}/{APP}")
    assert house.history("app-2") == [("router", "other")]


@housed
async def test_a_pipe_of_a_forgotten_app_is_thrown_away(house):
    house.plex.forget(APP)
    write = house.dyno()
    os.write(write, b"late\n")
    os.close(write)
    house.forget_dyno()
    assert not os.path.exists(f"{house.directory}/{APP}")
    assert house.spools() == []


def test_forgotten_apps_are_remembered_for_a_while_only(tmp_path, monkeypatch):
    monkeypatch.setattr("dynod.logplex.plex.FORGOTTEN", 2)
    plex = Plex(f"{tmp_path}/logs")
    for name in ("a", "b", "c"):
        plex.forget(name)
    plex.add("a", [Record(1, "app", "web.1", "again")])
    plex.add("c", [Record(1, "app", "web.1", "never")])
    assert plex.ask(Ask(LogQuery("a"))) == [(0, Record(1, "app", "web.1", "again"))]
    assert plex.ask(Ask(LogQuery("c"))) == []
    plex.close()


def test_history_is_filtered_and_then_counted(tmp_path):
    plex = Plex(f"{tmp_path}/logs")
    for number in range(20):
        plex.add(APP, [Record(number + 1, "app", f"web.{number % 2 + 1}", f"{number}")])
    asked = plex.ask(Ask(LogQuery(APP, lines=3, dyno="web.1")))
    assert [record.text for _, record in asked] == ["14", "16", "18"]
    assert plex.ask(Ask(LogQuery(APP, lines=0))) == []
    assert [number for number, _ in plex.ask(Ask(LogQuery(APP, lines=1), after=16))] == [17, 18, 19]
    assert plex.ask(Ask(LogQuery("unknown"))) == []
    assert not os.path.exists(f"{tmp_path}/logs/unknown")
    plex.close()


def test_what_a_writer_brought_before_is_left_out(tmp_path):
    plex = Plex(f"{tmp_path}/logs")
    rows = [Record(1, "heroku", "api", f"{number}", "@w", number) for number in (1, 2, 3)]
    plex.add(APP, rows[:2])
    plex.close()
    plex = Plex(f"{tmp_path}/logs")
    plex.add(APP, rows)
    plex.add(APP, rows)
    assert [record.text for _, record in plex.ask(Ask(LogQuery(APP)))] == ["1", "2", "3"]
    plex.close()


def test_listeners_hear_what_is_new(tmp_path):
    plex = Plex(f"{tmp_path}/logs")
    woken = []
    web, all_ = Tail(LogQuery(APP, dyno="web")), Tail(LogQuery(APP))
    plex.listen(web, lambda: woken.append("web"))
    plex.listen(all_, lambda: woken.append("all"))
    plex.add(APP, [Record(1, "heroku", "router", "r")])
    plex.add("app-2", [Record(1, "heroku", "router", "r")])
    assert woken == ["all"]
    plex.leave(all_)
    plex.leave(web)
    plex.leave(web)
    plex.add(APP, [Record(1, "app", "web.1", "x")])
    assert plex.stat()["tails"] == 0
    assert web.take() == []
    plex.close()


def test_strange_names_in_the_spool_are_left_alone(tmp_path):
    os.makedirs(f"{tmp_path}/logs/.spool/lost+found")
    plex = Plex(f"{tmp_path}/logs")
    assert plex.stat()["dynos"] == 0
    plex.close()


@pytest.mark.parametrize("restart", [False, True])
def test_a_full_disk_stops_no_app(tmp_path, monkeypatch, restart):
    """Output goes through memory while nothing can be spooled; afterwards, and after a restart, offsets are right again."""

    async def story():
        house = House(tmp_path)
        write = house.dyno()
        os.write(write, b"before\nhal")
        await house.until_texts(1)
        with monkeypatch.context() as patch:

            def splice(*_, **__):
                raise OSError(errno.ENOSPC, "No space left on device")

            patch.setattr(spool_module.os, "splice", splice)
            os.write(write, b"f\nwhile full\n")
            await house.until_texts(3)
        assert house.plex.stat()["unkept_bytes"] == 13
        if restart:
            house.restart()
            house.host_again()
        os.write(write, b"after\nrest")
        await house.until_texts(4)
        house.restart()
        house.host_again()
        os.write(write, b" of it\n")
        await house.until_texts(5)
        assert house.texts() == ["before", "half", "while full", "after", "rest of it"]
        os.close(write)
        house.close()

    run(story())


def test_a_broken_pipe_of_ours_is_not_taken_for_a_full_disk(tmp_path, monkeypatch):
    async def story():
        house = House(tmp_path)
        house.dyno()
        intake = house.plex._intakes["dyno-1"]

        def splice(*_, **__):
            raise OSError(errno.EBADF, "Bad file descriptor")

        monkeypatch.setattr(spool_module.os, "splice", splice)
        with pytest.raises(OSError, match="Bad file"):
            intake._take()
        house.close()

    run(story())


def test_a_hole_in_a_spool_is_stepped_over(tmp_path):
    """The disk was full for a while and the process was killed before the ring could be written either."""
    spool = f"{tmp_path}/logs/.spool/dyno-1~{APP}~web.1"
    os.makedirs(spool)
    for base, data in ((0, b"one\nhal"), (20, b"two\n")):
        with open(f"{spool}/{base:020d}", "wb") as file:
            file.write(data)
    plex = Plex(f"{tmp_path}/logs")
    assert [record.text for _, record in plex.ask(Ask(LogQuery(APP)))] == ["one", "hal", "two"]
    plex.gone("dyno-1")
    plex.gone("dyno-1")
    assert not os.path.exists(spool)
    plex.close()
