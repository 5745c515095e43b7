"""Autopsies: what is kept of an end, for how long, and what may go wrong meanwhile."""

import json
import os

import pytest
from support.waiting import run

from dynod.core.effects import Died
from dynod.engine.autopsies import KEEP, Autopsies
from dynod.model.app import AppId
from dynod.model.autopsy import Changed
from dynod.model.dyno import DynoId, DynoState, dyno_name
from dynod.model.log import LogLine
from dynod.model.refused import Refusal, Refused
from dynod.model.tally import UNCOUNTED, Tally

APP = AppId("a1")
COUNTED = Tally(cpu_user=0.5, tasks_peak=3)


def death(number=1, name="web.1", state=DynoState.CRASHED, status=1):
    return Died(
        DynoId(f"d{number}"),
        dyno_name(name),
        state,
        status,
        f"exited with status {status}",
        4096,
        3,
        "Basic",
        "./serve",
        1.0,
        100.0 + number,
        COUNTED,
    )


async def recent(query):
    assert (query.app, query.lines) == (APP, 100)
    return [LogLine(APP, 5, "app", query.dyno, "last words")]


async def die(made, died, upper=None):
    made.expect(died)
    opened = await made.open(APP, died.dyno, upper)
    await made.close(opened)


def test_an_end_is_kept_with_its_log_and_its_files(tmp_path):
    (tmp_path / "scratch" / "upper").mkdir(parents=True)
    (tmp_path / "scratch" / "upper" / "x").write_text("12")

    async def story():
        made = Autopsies(str(tmp_path), recent)
        upper = os.open(tmp_path / "scratch" / "upper", os.O_RDONLY)
        await die(made, death(), upper)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.close(upper)
        return await made.find(APP, "web.1"), await made.find(APP, "d1"), await made.find(APP, "web.2")

    by_name, by_id, other = run(story())
    assert (by_name, other) == (by_id, [])
    (found,) = by_name
    assert (found.cause, found.peak, found.state, found.at) == (
        "exited with status 1",
        4096,
        "crashed",
        101.0,
    )
    assert found.tally == COUNTED
    assert found.lines == ("app[web.1]: last words",)
    assert (found.files, found.cut) == ((Changed("/x", "file", 2),), False)
    directory = tmp_path / "autopsies" / APP
    assert directory.stat().st_mode & 0o777 == 0o700  # log lines may hold secrets
    assert [each.stat().st_mode & 0o777 for each in directory.iterdir()] == [0o600]


def test_an_autopsy_of_the_version_before_is_shown_without_what_nobody_had_counted(tmp_path):
    async def story():
        made = Autopsies(str(tmp_path), recent)
        await die(made, death())
        (path,) = (tmp_path / "autopsies" / APP).iterdir()
        kept = json.loads(path.read_text())
        assert kept.pop("tally")["tasks_peak"] == 3
        path.write_text(json.dumps(kept))
        return await made.find(APP, "web.1")

    (found,) = run(story())
    assert (found.tally, found.peak) == (UNCOUNTED, 4096)


def test_the_last_twenty_are_kept_and_a_deploy_pushes_out_no_crash(tmp_path):
    async def story():
        made = Autopsies(str(tmp_path), recent)
        for number in range(KEEP + 3):
            await die(made, death(number))
        for number in range(100, 100 + KEEP + 5):
            await die(made, death(number, "web.2", DynoState.DOWN, 143))
        return await made.find(APP, "web.1"), await made.find(APP, "web.2")

    crashes, stops = run(story())
    assert [each.dyno for each in crashes] == [f"d{number}" for number in range(KEEP + 2, 2, -1)]
    assert len(stops) == KEEP
    assert stops[0].dyno == f"d{100 + KEEP + 4}"


def test_an_end_that_nobody_saw_has_no_autopsy(tmp_path):
    made = Autopsies(str(tmp_path), recent)
    upper = os.open(tmp_path, os.O_RDONLY)
    assert run(made.open(APP, DynoId("d9"), upper)) is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.close(upper)


def test_of_a_dyno_whose_files_nobody_can_see_any_more_it_is_not_said_that_it_had_none(tmp_path):
    async def story():
        made = Autopsies(str(tmp_path), recent)
        await die(made, death())
        return await made.find(APP, "web.1")

    (found,) = run(story())
    assert (found.files, found.cut) == ((), True)


def test_without_a_log_the_rest_is_kept(tmp_path):
    async def away(query):
        raise Refused(Refusal.UNAVAILABLE, "cannot read the log")

    async def story():
        made = Autopsies(str(tmp_path), away)
        await die(made, death())
        return await made.find(APP, "web.1")

    (found,) = run(story())
    assert (found.lines, found.status) == ((), 1)


def test_a_record_that_cannot_be_read_hides_no_other(tmp_path, caplog):
    async def story():
        made = Autopsies(str(tmp_path), recent)
        for number in (1, 2, 3):
            await die(made, death(number))
        one, two, _ = sorted(os.listdir(made.directory(APP)))
        for name, text in ((one, "{"), (two, '{"strange": 1}')):
            with open(f"{made.directory(APP)}/{name}", "w") as file:
                file.write(text)
        return await made.find(APP, "web.1")

    assert [each.dyno for each in run(story())] == ["d3"]
    assert caplog.text.count("cannot read the autopsy") == 2


def test_a_full_disk_is_a_line_in_the_log_and_no_more(tmp_path, caplog):
    (tmp_path / "autopsies").write_text("in the way")
    run(die(Autopsies(str(tmp_path), recent), death()))
    assert "cannot keep the autopsy of web.1" in caplog.text


def test_ends_that_are_kept_at_the_same_time_may_prune_the_same_one(tmp_path, monkeypatch):
    """A hundred dynos of an app end together, some in threads of their own: what another has just removed is removed."""

    async def story():
        made = Autopsies(str(tmp_path), recent)
        for number in range(KEEP):
            await die(made, death(number))
        unlink = os.unlink

        def slower(path):
            unlink(path)
            unlink(path)

        monkeypatch.setattr(os, "unlink", slower)
        directory = tmp_path / "autopsies" / APP
        oldest = min(directory.iterdir())
        (directory / f"0{oldest.name}").write_bytes(oldest.read_bytes())  # so that two are to go
        await die(made, death(KEEP, name="web.9"))
        return len(list(directory.iterdir())), await made.find(APP, "web.9")

    left, found = run(story())
    assert left == KEEP
    assert [each.dyno for each in found] == [f"d{KEEP}"]
