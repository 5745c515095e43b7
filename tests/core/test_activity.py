"""The activity lines, to the letter."""

import pytest
from ledger_samples import APP, NAME, OWNER, Story, after, ids, slug

from dynod.core import activity, changes
from dynod.core.ledger import Ledger
from dynod.model.entry import BuildSettled, BuildStarted, Entry, Payload
from dynod.model.formation import WEB, Scale, dyno_size, process_type
from dynod.model.release import BuildId, BuildStatus, ReleaseStatus


def said(before: Ledger, payloads: tuple[Payload, ...], actor: str = "E") -> list[str]:
    found = []
    for payload in payloads:
        ledger = after(before, [payload], actor=actor)
        entry = Entry(ledger.revision, APP, actor, 1.0, payload)
        found += activity.lines(entry, before.apps.get(APP), ledger.apps.get(APP), "https://x")
        before = ledger
    return found


def test_an_app_is_created() -> None:
    assert said(Ledger(), changes.create_app(Ledger(), NAME, OWNER, "debian-12", ids())) == [
        "Initial release by user E",
        "Release v1 created by user E",
        "Enable Logplex by user E",
        "Release v2 created by user E",
    ]


def test_a_first_deploy() -> None:
    story = Story()
    before = story.ledger
    story.deploy(slug(worker="w", web="s", console="c"))
    assert said(before, story.said) == [
        "Deploy 1a2b3c4d by user E",
        "Release v3 created by user E",
        "Scaled to console@0:Standard-1X web@1:Standard-1X worker@0:Standard-1X by user E",
    ]


def test_a_deploy_that_only_changes_commands_scales_nothing() -> None:
    story = Story().deploy(slug(web="s"))
    before = story.ledger
    story.deploy(slug("s2", web="other"))
    assert said(before, story.said) == ["Deploy 1a2b3c4d by user E", "Release v4 created by user E"]


def test_a_rollback_to_nothing_which_earlier_versions_took_scales_nothing() -> None:
    story = Story().deploy(slug())
    before = story.ledger
    story.bare()
    assert said(before, story.said) == ["Rollback to v2 by user E", "Release v4 created by user E"]


def test_scaling() -> None:
    story = Story().deploy(slug(web="s", worker="w"))
    before = story.ledger
    story.scale(Scale(WEB, "2", None), Scale(process_type("worker"), "1", dyno_size("2x")))
    assert said(before, story.said) == ["Scaled to web@2:Standard-1X worker@1:Standard-2X by user E"]


def test_config() -> None:
    story = Story()
    before = story.ledger
    story.config({"A": "1", "B": "2"})
    assert said(before, story.said) == ["Set A, B config vars by user E", "Release v3 created by user E"]


@pytest.mark.parametrize(
    ("status", "line"),
    [
        (ReleaseStatus.SUCCEEDED, "Release v3 created by user e@x"),
        (ReleaseStatus.FAILED, "Release v3 command failed by user e@x"),
    ],
)
def test_a_release_phase(status, line) -> None:
    """Its end names who made the release, not who settled it."""
    story = Story()
    before = story.ledger
    story.deploy(slug(release="migrate"))
    assert said(before, story.said) == ["Deploy 1a2b3c4d by user E", "Running release v3 commands by user E"]
    before = story.ledger
    story.settle(status)
    assert said(before, story.said[:1], "dynod") == [line]


def test_builds() -> None:
    started = BuildStarted(BuildId("b1"), "c0ffee", "debian-12", ())
    good, bad = (
        BuildSettled(BuildId("b1"), status, None, None)
        for status in (BuildStatus.SUCCEEDED, BuildStatus.FAILED)
    )
    assert said(Story().ledger, (started, good)) == ["Build started by user E", "Build succeeded"]
    assert said(Story().ledger, (started, bad)) == [
        "Build started by user E",
        "Build failed -- check your build output: https://x/apps/a1/activity/builds/b1",
    ]


def test_what_is_not_told() -> None:
    story = Story()
    assert said(story.ledger, changes.set_maintenance(story.state, on=True)) == []
    assert said(story.ledger, changes.destroy_app(story.state)) == []


def test_one_offs() -> None:
    assert activity.one_off("bash", "E") == "Starting process with command `bash` by user E"
