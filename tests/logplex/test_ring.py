"""dynod.logplex.ring: an app's last lines, whatever the process and the disk do."""

import errno
import os
import shutil

import pytest

from dynod.logplex import ring as ring_module
from dynod.logplex.records import Marks, Record, encode
from dynod.logplex.ring import WRITERS, Ring

DYNO = "dyno-1"


def line(number, origin=DYNO, process="web.1"):
    return Record(1_000 + number, "app", process, f"line {number}", origin, number + 1)


def texts(ring, after=-1):
    return [record.text for _, record in ring.read(after)]


def fill(ring, count, batch=1, start=0):
    for first in range(start, start + count, batch):
        ring.append([line(number) for number in range(first, min(first + batch, start + count))])


def test_lines_come_back_numbered_also_after_a_restart(tmp_path):
    ring = Ring(f"{tmp_path}/app")
    assert ring.append([line(0), line(1)]) == 0
    assert ring.append([line(2)]) == 2
    for again in (ring, Ring(f"{tmp_path}/app")):
        assert again.read() == [(0, line(0)), (1, line(1)), (2, line(2))]
        assert again.read(after=1) == [(2, line(2))]
        assert (again.offset(DYNO), again.last_at, again.next) == (3, 1_002, 3)
        again.close()


@pytest.mark.parametrize("batch", [1, 3, 25])
def test_history_is_kept_and_the_disk_does_not_grow(tmp_path, batch):
    ring = Ring(f"{tmp_path}/app", history=10)
    fill(ring, 100, batch)
    kept = texts(ring)
    assert 10 <= len(kept) <= 10 + 2 * max(batch, 10)
    assert kept == [f"line {number}" for number in range(100 - len(kept), 100)]
    assert len(os.listdir(f"{tmp_path}/app")) == 2
    ring.close()
    again = Ring(f"{tmp_path}/app", history=10)
    assert again.read() == [(100 - len(kept) + i, line(100 - len(kept) + i)) for i in range(len(kept))]
    assert again.append([line(100)]) == 100
    again.close()


def test_an_origin_is_remembered_when_all_its_lines_are_gone(tmp_path):
    ring = Ring(f"{tmp_path}/app", history=10)
    ring.append([line(6, "quiet")])
    ring.append([line(3, "@writer", "router")])
    fill(ring, 100)
    ring.close()
    again = Ring(f"{tmp_path}/app", history=10)
    assert (again.offset("quiet"), again.offset("@writer"), again.offset("other")) == (7, 4, 0)
    again.drop("quiet")
    assert again.origins() == ("@writer", DYNO)
    again.close()


def test_few_writers_are_remembered_and_the_newest_of_them(tmp_path):
    ring = Ring(f"{tmp_path}/app")
    for number in range(WRITERS + 5):
        ring.append([line(number, f"@{number}")])
        ring.append([line(number, "@busy")])
    assert len(ring.origins()) == WRITERS
    assert ring.offset("@busy")
    assert not ring.offset("@0")
    ring.close()


def test_times_of_other_origins_do_not_move_the_clock_of_dynos(tmp_path):
    ring = Ring(f"{tmp_path}/app")
    ring.append([line(1), Record(9_999, "heroku", "router", "from the future")])
    assert ring.last_at == 1_001
    ring.close()


def snapshot(tmp_path, name):
    shutil.rmtree(f"{tmp_path}/{name}", ignore_errors=True)
    shutil.copytree(f"{tmp_path}/app", f"{tmp_path}/{name}")
    return f"{tmp_path}/{name}"


@pytest.mark.parametrize("before", [0, 1, 9])
def test_a_kill_within_any_write_leaves_a_ring_that_goes_on(tmp_path, before):
    """Each write is cut after each of its bytes: the lines before the cut are there, and the mark is that of the last of them."""
    ring = Ring(f"{tmp_path}/app", history=10)
    fill(ring, before)
    names = os.listdir(f"{tmp_path}/app") if before else []
    sizes = {name: os.stat(f"{tmp_path}/app/{name}").st_size for name in names}
    fill(ring, 2, batch=2, start=before)  # with before=9 it ends a segment and begins one
    ring.close()
    grown = [
        (name, size, sizes.get(name, 0))
        for name in sorted(os.listdir(f"{tmp_path}/app"))
        if (size := os.stat(f"{tmp_path}/app/{name}").st_size) > sizes.get(name, 0)
    ]
    for index, (name, size, old) in enumerate(grown):
        for cut in range(old, size):
            copy = snapshot(tmp_path, "cut")
            os.truncate(f"{copy}/{name}", cut)
            for later, _, _ in grown[index + 1 :]:
                os.unlink(f"{copy}/{later}")
            again = Ring(copy, history=10)
            there = len(again.read())
            assert before <= there <= before + 2
            assert texts(again) == [f"line {number}" for number in range(there)]
            assert again.offset(DYNO) == there
            fill(again, 3, start=there)
            again.close()
            assert texts(Ring(copy, history=10)) == [f"line {number}" for number in range(there + 3)]


@pytest.mark.parametrize("short", [0, 5])
def test_what_the_disk_refuses_stays_in_memory_and_is_written_later(tmp_path, monkeypatch, caplog, short):
    ring = Ring(f"{tmp_path}/app", history=10)
    fill(ring, 2)
    real, full = os.write, True

    def write(fd, data):
        if not full:
            return real(fd, data)
        if short:
            return real(fd, data[:short])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(ring_module.os, "write", write)
    fill(ring, 3, start=2)
    assert not ring.kept
    assert texts(ring) == [f"line {number}" for number in range(5)]
    assert texts(Ring(f"{tmp_path}/app")) == ["line 0", "line 1"]
    assert caplog.text.count("cannot keep log lines") == 1
    full = False
    fill(ring, 1, start=5)
    assert ring.kept
    ring.close()
    assert texts(Ring(f"{tmp_path}/app")) == [f"line {number}" for number in range(6)]


def test_a_disk_that_was_full_for_long_leaves_the_last_lines_under_their_numbers(tmp_path, monkeypatch):
    ring = Ring(f"{tmp_path}/app", history=10)
    fill(ring, 2)
    with monkeypatch.context() as patch:
        patch.setattr(ring_module.os, "write", lambda _, __: 0)
        fill(ring, 30, start=2)
        assert texts(ring) == ["line 0", "line 1", *(f"line {number}" for number in range(22, 32))]
    fill(ring, 1, start=32)
    ring.close()
    again = Ring(f"{tmp_path}/app", history=10)
    assert again.read(1) == [(number, line(number)) for number in range(22, 33)]
    assert (again.next, again.offset(DYNO)) == (33, 33)
    again.close()


def test_a_full_disk_when_a_segment_begins(tmp_path, monkeypatch):
    ring = Ring(f"{tmp_path}/app", history=3)
    fill(ring, 2)
    real, calls = os.write, []

    def write(fd, data):
        calls.append(data)
        return real(fd, data) if len(calls) != 2 else 0

    monkeypatch.setattr(ring_module.os, "write", write)
    fill(ring, 1, start=2)  # written, but no new segment
    assert len(os.listdir(f"{tmp_path}/app")) == 1
    fill(ring, 1, start=3)
    assert len(os.listdir(f"{tmp_path}/app")) == 2
    ring.close()
    assert texts(Ring(f"{tmp_path}/app")) == [f"line {number}" for number in range(4)]


def test_remove_leaves_nothing(tmp_path):
    ring = Ring(f"{tmp_path}/app")
    fill(ring, 3)
    ring.remove()
    assert not os.path.exists(f"{tmp_path}/app")
    Ring(f"{tmp_path}/app").remove()


def test_a_damaged_first_segment_does_not_hide_the_second(tmp_path):
    os.makedirs(f"{tmp_path}/app")
    with open(f"{tmp_path}/app/{0:020d}.ring", "wb") as file:
        file.write(b"garbage")
    with open(f"{tmp_path}/app/{5:020d}.ring", "wb") as file:
        file.write(encode(Marks(1_004, {DYNO: 5})) + encode(line(5)))
    ring = Ring(f"{tmp_path}/app")
    assert ring.read() == [(5, line(5))]
    assert ring.next == 6
    ring.close()
