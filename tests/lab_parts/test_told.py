"""What a machine that lost its power must hold, and what it may, after what a client was told."""

import pytest

from tests.lab.told import Told


def told(*lines):
    made = Told()
    made.hear("out", "\n".join(lines).encode())
    return made


def test_the_last_that_was_acknowledged_must_be_there():
    assert told("try count 1", "did count 1", "try count 2", "did count 2").allowed("count") == {"2"}


def test_what_was_under_way_may_have_happened_or_not():
    assert told("try web 1", "did web 1", "try web 2").allowed("web") == {"1", "2"}


def test_what_was_refused_cannot_have_happened():
    assert told("try push a", "did push a", "try rollback s", "not rollback s why").allowed(
        "push", "rollback"
    ) == {"a"}


def test_nothing_is_held_against_a_machine_that_was_told_nothing():
    assert told("try count 1").allowed("count") == set()


def test_what_was_acknowledged_after_the_moment_may_be_there_and_what_was_before_must():
    lines = ("try count 1", "did count 1", "try count 2", "did count 2", "try count 3")
    assert told(*lines).allowed("count", before=2, after=4) == {"1", "2"}


def test_a_rollback_brings_the_config_vars_of_its_release_back():
    lines = ("try count 7", "did count 7", "try rollback s", "did rollback s 3")
    assert told(*lines).allowed("count") == {"3"}
    assert told(*lines[:3]).allowed("count") == set()
    assert told(*lines, "try count 4", "did count 4").allowed("count") == {"4"}


def test_a_slug_taken_again_counts_as_code_beside_a_push():
    assert told("try push 12", "did push 12", "try rollback s", "did rollback s 0").allowed(
        "push", "rollback"
    ) == {"s"}


def test_changes_begin_with_what_is_said_of_one_and_not_with_what_git_says():
    made = Told()
    made.hear("err", b"set git remote heroku")
    assert not made.began.is_set()
    assert made.under_way() == ""
    made.hear("out", b"try count 1")
    assert made.began.is_set()
    assert made.under_way() == "count 1"


def test_nothing_is_under_way_once_the_last_change_was_acknowledged():
    assert told("try count 1", "did count 1").under_way() == ""
    assert told("try count 1", "did count 1").under_way(before=1) == "count 1"


def test_the_repository_holds_the_push_that_was_acknowledged_last_and_no_lock():
    whole = {
        **dict.fromkeys(("ledger.db", "observations.db"), "ok"),
        **{
            key: []
            for key in ("gaps", "unlike their archive", "half made", "repositories that err", "locked")
        },
        "running": {},
        "formation": {},
        "slug": "s",
        "page": "page b",
        "pushed": "b",
    }
    made = told("try push a", "did push a", "try push b", "did push b")
    made.holds(whole, "page b")
    for spoilt in ({"pushed": "a"}, {"locked": ["main.lock"]}):
        with pytest.raises(AssertionError):
            made.holds({**whole, **spoilt}, "page b")
