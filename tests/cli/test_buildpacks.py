"""`dyno buildpacks` and its like, in the words of Heroku's CLI."""

import json

import pytest


@pytest.fixture
def packs(control):
    """An app's buildpacks: a list, and what the API answers about it."""
    there = []

    def rows():
        return [{"ordinal": n, "buildpack": {"name": url, "url": url}} for n, url in enumerate(there)]

    async def listed(_):
        return rows()

    async def update(call):
        there[:] = [one["buildpack"] for one in call.params["body"]["updates"]]
        return rows()

    control.answers |= {"buildpacks.list": listed, "buildpacks.update": update}
    return there


PUSH = "Run git push heroku main to create a new release using"


def test_they_are_listed(packs, type_in):
    assert type_in("buildpacks -a demo")[1] == "⬢ demo has no Buildpacks.\n"
    packs[:] = ["heroku/python"]
    one = "=== ⬢ demo Classic Buildpack (from the Heroku Buildpack Registry)\n\nheroku/python\n"
    assert type_in("buildpacks -a demo")[1] == one
    packs[:] = ["heroku/nodejs", "heroku/python"]
    assert type_in("buildpacks -a demo")[1].endswith("Registry)\n\n1. heroku/nodejs\n2. heroku/python\n")
    assert [row["ordinal"] for row in json.loads(type_in("buildpacks --json -a demo")[1])] == [0, 1]


@pytest.mark.parametrize(
    ("line", "then"),
    [
        ("buildpacks:add c", ["a", "b", "c"]),
        ("buildpacks:add c -i 1", ["c", "a", "b"]),
        ("buildpacks:add c --index 2", ["a", "c", "b"]),
        ("buildpacks:add c -i 9", ["a", "b", "c"]),
        ("buildpacks:set c", ["c", "b"]),
        ("buildpacks:set c -i 2", ["a", "c"]),
        ("buildpacks:set c -i 9", ["a", "b", "c"]),
        ("buildpacks:remove a", ["b"]),
        ("buildpacks:remove -i 2", ["a"]),
        ("buildpacks:clear", []),
    ],
)
def test_what_becomes_of_two(packs, type_in, line, then):
    packs[:] = ["a", "b"]
    assert type_in(f"{line} -a demo")[0] == 0
    assert packs == then


def test_what_is_said(packs, type_in):
    assert type_in("buildpacks:set a -a demo")[1] == (
        f"Buildpack set. Next release on ⬢ demo will use a.\n{PUSH} this buildpack.\n"
    )
    assert type_in("buildpacks:add b -a demo")[1] == (
        f"Buildpack added. Next release on ⬢ demo will use:\n  1. a\n  2. b\n{PUSH} these buildpacks.\n"
    )
    assert type_in("buildpacks:remove a -a demo")[1].startswith(
        "Buildpack removed. Next release on ⬢ demo will use b."
    )
    normally = "Next release on ⬢ demo will detect buildpacks normally.\n"
    assert type_in("buildpacks:remove b -a demo")[1] == f"Buildpack removed. {normally}"
    assert type_in("buildpacks:clear -a demo")[1] == f"Buildpacks cleared. {normally}"


@pytest.mark.parametrize(
    ("there", "line", "status", "why"),
    [
        (["a"], "buildpacks:add a", 1, "The buildpack a is already set on your app."),
        (["a"], "buildpacks:set a", 1, "The buildpack a is already set on your app."),
        (["a"], "buildpacks:add b -i 0", 2, "it takes a whole number from 1"),
        ([], "buildpacks:remove a", 1, "No buildpacks were found. Next release on ⬢ demo will detect"),
        (["a"], "buildpacks:remove b", 1, "Buildpack not found. Nothing was removed."),
        (["a"], "buildpacks:remove -i 2", 1, "Invalid index. Only valid value is 1."),
        (["a", "b"], "buildpacks:remove -i 3", 1, "Invalid index. Please choose a value between 1 and 2"),
        (["a"], "buildpacks:remove a -i 1", 2, "cannot tell which buildpack is meant"),
        (["a"], "buildpacks:remove", 2, "cannot tell which buildpack is meant"),
    ],
)
def test_what_is_refused_changes_nothing(packs, type_in, there, line, status, why):
    packs[:] = there
    got, _, said = type_in(f"{line} -a demo")
    assert (got, why in said) == (status, True), said
    assert packs == there
