"""What a Plex answers: history, who listens, what a writer brings twice, and what is left of an app that was forgotten."""

import os

from dynod.logplex.plex import Plex
from dynod.logplex.query import Ask
from dynod.logplex.records import Record
from dynod.logplex.tail import Tail
from dynod.model.log import LogQuery
from tests.logplex.plex_house import APP, housed


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
    await house.until_read()
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
