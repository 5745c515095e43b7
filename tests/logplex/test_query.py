"""dynod.logplex.query: which lines are asked for, which rows may come in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.logplex.query import Ask, BadRow, is_id, is_word, matches, read_ask, read_row
from dynod.logplex.records import Record
from dynod.model.log import LogQuery
from dynod.model.refused import Refused

APP = "6f1c3f4e-6b49-4c9e-9b7c-2f6c2b1a9d10"


@pytest.mark.parametrize(
    ("dyno", "source", "process", "found"),
    [
        ("", "", "web.1", True),
        ("web", "", "web.1", True),
        ("web", "", "web.12", True),
        ("web", "", "webhook.1", False),
        ("web", "", "web", True),
        ("web.1", "", "web.1", True),
        ("web.1", "", "web.12", False),
        ("web.1", "", "web.1.2", True),
        ("we", "", "web.1", False),
        ("", "app", "web.1", True),
        ("", "heroku", "web.1", False),
        ("", "ap", "web.1", False),
        ("web", "app", "web.1", True),
        ("worker", "app", "web.1", False),
        ("web", "heroku", "web.1", False),
    ],
)
def test_filters(dyno, source, process, found):
    assert matches(LogQuery("a", dyno=dyno, source=source), Record(1, "app", process, "x")) is found


@pytest.mark.parametrize(
    ("value", "id_"),
    [
        (APP, True),
        ("", False),
        (".spool", False),
        ("a/b", False),
        ("a~b", False),
        ("x" * 57, False),
        (7, False),
    ],
)
def test_an_id_is_part_of_a_file_name(value, id_):
    assert is_id(value) is id_


@pytest.mark.parametrize(
    ("value", "word"), [("web.1", True), ("", False), ("a b", False), ("a\n", False), (None, False)]
)
def test_a_word(value, word):
    assert is_word(value) is word


def test_what_readers_ask():
    assert read_ask({"app": APP}, 1500) == Ask(LogQuery(APP, 100, "", "", tail=True), -1)
    asked = read_ask(
        {"app": APP, "lines": 9999, "dyno": "web", "source": "app", "after": 7, "live": False}, 1500
    )
    assert asked == Ask(LogQuery(APP, 1500, "web", "app"), 7)
    assert read_ask({"app": APP, "lines": -5, "dyno": None, "source": None}, 1500).query.lines == 0


@pytest.mark.parametrize(
    "params",
    [
        None,
        [],
        {},
        {"app": "../../etc"},
        {"app": 3},
        {"app": APP, "lines": "9"},
        {"app": APP, "lines": True},
        {"app": APP, "after": 1.5},
        {"app": APP, "dyno": ["web"]},
        {"app": APP, "source": 4},
    ],
)
def test_what_readers_may_not_ask(params):
    with pytest.raises(Refused, match="cannot read the log"):
        read_ask(params, 1500)


def test_rows():
    assert read_row([APP, 5, "heroku", "router", "at=info"], 9) == (
        APP,
        [Record(5, "heroku", "router", "at=info")],
    )
    assert read_row([APP, None, "app", "api", "a\nb"], 9, "@w", 3) == (
        APP,
        [Record(9, "app", "api", "a", "@w", 3), Record(9, "app", "api", "b", "@w", 3)],
    )


@pytest.mark.parametrize(
    "row",
    [
        None,
        [],
        [APP, 5, "heroku", "router"],
        [APP, 5, "heroku", "router", "x", "more"],
        ["../x", 5, "heroku", "router", "x"],
        [APP, 0, "heroku", "router", "x"],
        [APP, True, "heroku", "router", "x"],
        [APP, 2**63, "heroku", "router", "x"],
        [APP, 5.0, "heroku", "router", "x"],
        [APP, 5, "her oku", "router", "x"],
        [APP, 5, "heroku", "rou\nter", "x"],
        [APP, 5, "heroku", "router", b"x"],
    ],
)
def test_what_is_no_row(row):
    with pytest.raises(BadRow, match="cannot take"):
        read_row(row, 9)


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(), st.lists, max_leaves=8))
def test_any_value_is_a_row_or_refused(value):
    try:
        app, records = read_row(value, 1)
    except BadRow:
        return
    assert is_id(app)
    assert records
