"""Procfile lines, and what the transcript says of them."""

import pytest

from slugc.failure import BuildFailed
from slugc.procfile import discovery, filled, left_out, parse


@pytest.mark.parametrize(
    ("text", "types"),
    [
        ("web: ./run\n", {"web": "./run"}),
        ("web: ./run\r\nworker: w\r\n", {"web": "./run", "worker": "w"}),
        ("\ufeffweb: ./run", {"web": "./run"}),
        ("# web: no\n\nweb : no\nnot a line\n  web: yes", {"web": "yes"}),
        ("web: a\nweb: b\n", {"web": "b"}),
        ("web:run", {"web": "run"}),
        ("web:   \n", {}),
        ("my-type_2: echo a: b # c\n", {"my-type_2": "echo a: b # c"}),
        ("wéb: x\n", {}),
        ("", {}),
    ],
)
def test_lines(text, types):
    assert parse(text) == types


def test_a_name_that_is_too_long_is_refused_by_name():
    with pytest.raises(
        BuildFailed, match=r"cannot read Procfile: the process type wwwwwwwwwwwwwwwwwwww\.\.\."
    ):
        parse("w" * 129 + ": x")
    assert parse("w" * 128 + ": x") == {"w" * 128: "x"}


def test_defaults_stand_where_the_procfile_is_silent():
    assert filled({"web": "mine"}, {"web": "theirs", "console": "irb"}) == {"console": "irb", "web": "mine"}


def test_what_is_said_in_herokus_words():
    assert discovery({"web": "", "release": ""}, {"web": ""}) == (
        "-----> Discovering process types\n       Procfile declares types -> release, web"
    )
    assert discovery({"web": ""}, {"rake": "", "console": ""}) == (
        "-----> Discovering process types\n"
        "       Procfile declares types     -> web\n"
        "       Default types for buildpack -> console, rake"
    )
    assert discovery({}, {}).endswith("Procfile declares types -> (none)")


def test_what_is_passed_over_is_told():
    """Heroku says nothing, and whoever forgot the colon has an app without dynos."""
    assert left_out("web: ./serve\n\n# why\n\tworker:  x\r\n") == ""
    assert left_out("\ufeffweb ./serve\nwéb: x\nworker:\n") == (
        " !     Warning: line 1 of the Procfile is no `type: command` and is left out: 'web ./serve'\n"
        " !     Warning: line 2 of the Procfile is no `type: command` and is left out: 'wéb: x'\n"
        " !     Warning: line 3 of the Procfile is no `type: command` and is left out: 'worker:'"
    )
    many = left_out("x" * 500 + "\n" + "no\n" * 500).splitlines()
    assert (len(many), len(many[0]) < 150, many[-1]) == (4, True, " !     and 498 more lines")
    assert left_out("\x1b[2J") == (
        " !     Warning: line 1 of the Procfile is no `type: command` and is left out: '\\x1b[2J'"
    )
