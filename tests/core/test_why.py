"""Reasons in words, and the lines of `dyno why` made of observations."""

import pytest
from ledger_samples import APP, Story, after, slug

from dynod.core import changes, why
from dynod.core.effects import Note
from dynod.core.events import Exited, StopAsked
from dynod.core.ledger import Ledger
from dynod.core.lifecycle import Phase, begin, step
from dynod.model.app import AppName
from dynod.model.dyno import Exit
from dynod.model.entry import (
    AppDestroyed,
    AppRenamed,
    BuildpacksSet,
    Entry,
    FeatureSet,
    MaintenanceSet,
    Payload,
    ReleaseSettled,
    SlugAdded,
)
from dynod.model.formation import Scale, dyno_size, process_type
from dynod.model.observation import Observation
from dynod.model.release import ReleaseId, ReleaseStatus
from tests.core.test_lifecycle import NOW, dyno


def reasons(before: Ledger, payloads: tuple[Payload, ...]) -> list[str]:
    found = []
    for payload in payloads:
        ledger = after(before, [payload], actor="me@x")
        entry = Entry(ledger.revision, APP, "me@x", 1.0, payload)
        found.append(why.reason(entry, before.apps.get(APP), ledger.apps.get(APP)))
        before = ledger
    return found


def deployed() -> Ledger:
    story = Story()
    story.deploy(slug(worker="w", web="s"))
    return story.ledger


def test_a_release_names_what_it_was_and_by_whom():
    before = deployed()
    payloads = changes.set_config(before.apps[APP], {"A": "b"}, ReleaseId("r9"))
    assert reasons(before, payloads) == ["release v4: Set A config vars by me@x"]


def test_a_release_that_comes_out_of_its_phase_names_its_own_actor():
    before = deployed()
    release = before.apps[APP].releases[-1]
    settled = ReleaseSettled(release.id, ReleaseStatus.SUCCEEDED)
    assert reasons(before, (settled,)) == [f"release v3: {release.description} by {release.actor}"]


@pytest.mark.parametrize(
    ("scale", "words"),
    [
        (Scale(process_type("web"), "2", None), "scaled to web=2 by me@x"),
        (Scale(process_type("web"), None, dyno_size("2x")), "scaled to web=1:Standard-2X by me@x"),
        (Scale(process_type("worker"), "+3", None), "scaled to worker=3 by me@x"),
    ],
)
def test_a_scale_names_what_it_changed(scale, words):
    before = deployed()
    assert reasons(before, changes.scale(before.apps[APP], [scale])) == [words]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (FeatureSet("preboot", True), "feature preboot switched on by me@x"),
        (MaintenanceSet(False), "maintenance mode switched off by me@x"),
        (AppDestroyed(), "the app was destroyed by me@x"),
    ],
)
def test_the_rest(payload, words):
    assert reasons(deployed(), (payload,)) == [words]


@pytest.mark.parametrize(
    "payload", [AppRenamed(AppName("other")), BuildpacksSet(("x",)), SlugAdded(slug("s9"))]
)
def test_what_starts_and_stops_nothing_is_no_reason(payload):
    """It may come with what does, and be told first: a push pins its buildpack and adds its slug before its release."""
    assert reasons(deployed(), (payload,)) == [""]


def told(*notes: tuple[str, str, str], name: str = "web.1") -> list[str]:
    observed = [
        Observation(dyno, name, "a1", what, float(at), detail)
        for at, (dyno, what, detail) in enumerate(notes)
    ]
    return [f"{each.dyno} {each.what}: {each.why}" for each in why.causes(observed)]


def test_every_start_and_stop_has_one_line():
    assert told(
        ("d1", "starting", "release v3: Deploy 1 by me@x"),
        ("d2", "starting", "release v4: Set A config vars by me@x"),
        ("d1", "stopping", "release v4: Set A config vars by me@x"),
        ("d1", "down", "ended by SIGTERM (status 143)"),
        ("d2", "crashed", "exited with status 1"),
        ("d3", "starting", "it crashed"),
        ("d3", "stopping", "scaled to web=0 by me@x"),
    ) == [
        "d1 started: release v3: Deploy 1 by me@x",
        "d2 started: release v4: Set A config vars by me@x",
        "d1 stopped: release v4: Set A config vars by me@x; ended by SIGTERM (status 143)",
        "d2 crashed: exited with status 1",
        "d3 started: it crashed: exited with status 1",
        "d3 stopping: scaled to web=0 by me@x",
    ]


@pytest.mark.parametrize(
    ("what", "word"), [("complete", "completed"), ("lost", "lost"), ("idle", "stopped"), ("down", "stopped")]
)
def test_each_end_has_its_word(what, word):
    assert told(("d1", what, "x")) == [f"d1 {word}: x"]


def test_sleep_and_a_client_that_goes_are_told():
    assert told(
        ("d1", "frozen", "no request for 30 minutes"),
        ("d1", "thawed", "a request came"),
        ("d2", "hung up", "its client hung up"),
        ("d2", "complete", "ended by SIGHUP (status 129)"),
    ) == [
        "d1 frozen: no request for 30 minutes",
        "d1 thawed: a request came",
        "d2 completed: its client hung up; ended by SIGHUP (status 129)",
    ]


def test_other_observations_are_no_starts_and_no_stops():
    assert told(("d1", "memory", "R14")) == []


def test_an_end_whose_beginning_is_forgotten_is_told_by_itself():
    assert told(
        ("d1", "crashed", "exited with status 1"), ("d2", "starting", "it crashed and has waited")
    ) == [
        "d1 crashed: exited with status 1",
        "d2 started: it crashed and has waited: exited with status 1",
    ]


def test_what_the_lifecycle_notes_is_what_is_read():
    one = dyno(phase=Phase.UP)
    stopping, second = step(one, StopAsked("restart by me@x"), NOW)
    _, third = step(stopping, Exited(Exit(143)), NOW)
    notes = [each for each in (*begin(one, "run by me@x"), *second, *third) if isinstance(each, Note)]
    assert told(*((str(each.dyno), each.what, each.detail) for each in notes)) == [
        "d1 started: run by me@x",
        "d1 stopped: restart by me@x; ended by SIGTERM (status 143)",
    ]
