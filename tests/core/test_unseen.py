"""What is known of a dyno that ended while nobody wrote its end down."""

from dataclasses import replace

from dynod.core.lifecycle import Phase
from dynod.core.unseen import ended_unseen
from dynod.model.dyno import DynoId, DynoState, dyno_name
from dynod.model.observation import Observation
from tests.core.test_lifecycle import dyno

LABELS = {"release": "v7"}
ID = DynoId("d1")


STORY = [
    Observation(ID, "web.1", "a1", "starting", 10.0, "a deploy"),
    Observation(ID, "web.1", "a1", "crashed", 20.0, "exited with status 3"),
]


def test_what_was_observed_is_told():
    died = ended_unseen(ID, "web.1", 3, LABELS, None, STORY, 99.0)
    assert (died.dyno, died.name, died.state, died.status) == (ID, dyno_name("web.1"), DynoState.CRASHED, 3)
    assert (died.cause, died.release, died.created, died.at) == ("exited with status 3", 7, 10.0, 20.0)
    assert (died.size, died.command) == ("", "")


def test_a_fleet_that_still_has_it_knows_its_size_and_command():
    one = replace(dyno(phase=Phase.ENDED), shown=DynoState.CRASHED, entered=42.0)
    died = ended_unseen(one.id, "web.1", 1, LABELS, one, STORY[:1], 99.0)
    assert (died.size, died.command, died.state, died.at) == (one.size, one.command, DynoState.CRASHED, 42.0)
    assert died.cause.startswith("exited with status 1")


def test_with_nothing_but_the_host_s_word_there_is_still_an_end():
    died = ended_unseen(ID, "web.1", 143, {}, None, [], 99.0)
    assert (died.state, died.cause, died.release) == (DynoState.DOWN, "ended by SIGTERM (status 143)", 0)
    assert (died.created, died.at) == (99.0, 99.0)
