"""Every row of the table over real HTTPS against the fake platform: what it answers, what it changes, what it refuses.

The stories themselves are in stories/, by subject. Here each of them runs, and what holds for all rows is held.
"""

import inspect

import pytest

from dynod.api.operations import OPERATIONS, STREAMS, parameters
from dynod.model.release import ReleaseStatus
from tests.api import shapes
from tests.api.served import Served
from tests.api.stories import accounts, apps, builds, dynos, machine, names, releases
from tests.api.story import CASES, made

# Imported, they have told CASES what they cover.
SUBJECTS = (accounts, machine, apps, names, releases, builds, dynos)
STORIES = {each.__name__: each for all_ in CASES.values() for each in all_}


@pytest.fixture(scope="module")
def served():
    one = Served()
    yield one
    one.close()


@pytest.mark.parametrize("story", sorted(STORIES))
def test_story(served, story):
    """Each story, by its name."""
    served.run(STORIES[story](served.whole))


def test_every_row_has_a_story():
    assert set(CASES) == {row.name for row in OPERATIONS}


def test_every_row_has_the_shape_of_its_answer():
    """Whole.ask holds each answer to it."""
    assert set(shapes.ANSWERS) == {row.name for row in OPERATIONS}


def test_rows_do_not_collide():
    """No two rows have one name, or one method and path."""
    names = [row.name for row in (*OPERATIONS, *STREAMS)]
    assert len(names) == len(set(names))
    places = [(row.method, row.path) for row in OPERATIONS]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_a_row_lets_in_who_it_says(served, row):
    """Without a token 401, with a stranger's no more than 403, unless the row is everybody's."""

    async def story(whole):
        await made(whole, deployed=True)
        path = row.path.format(**dict.fromkeys(parameters(row.path), "x") | {"app": "demo"})
        answer = await whole.ask(row.method, path, token="")
        if row.access.value == "public":
            assert answer.status == 200
            return
        assert (answer.status, answer.body["id"]) == (401, "unauthorized")
        assert (await whole.ask(row.method, path, token="wrong")).status == 401
        if "{app}" in row.path:
            answer = await whole.ask(row.method, path, token="stranger-token")
            assert (answer.status, answer.body["id"]) == (403, "forbidden")

    served.run(story(served.whole))


def test_handlers_read_no_clock_of_their_own():
    """Time comes in with the links, so that answers can be compared."""
    for row in OPERATIONS:
        assert "time.time" not in inspect.getsource(row.handler)


def test_a_failed_release_is_neither_current_nor_a_way_back(served):
    async def story(whole):
        await made(whole, deployed=True)
        house = whole.platform.house("demo")
        failed = type(house.releases[-1])
        house.releases[-1] = failed(
            *(
                ReleaseStatus.FAILED if name == "status" else getattr(house.releases[-1], name)
                for name in failed.__slots__
            )
        )
        newest = (await whole.ask("GET", "/apps/demo/releases/v3")).body
        assert (newest["status"], newest["current"], newest["eligible_for_rollback"]) == (
            "failed",
            False,
            False,
        )
        assert (await whole.ask("GET", "/apps/demo/releases/v2")).body["current"] is True

    served.run(story(served.whole))
