"""The fold: what each kind of entry does to an app, and what is no ledger at all."""

from dataclasses import replace

import pytest
from ledger_samples import APP, NAME, OWNER, Story, after, ids, slug

from dynod.core import changes
from dynod.core.ledger import AppState, Corrupt, Ledger, fold
from dynod.model.app import App, AppId, AppName
from dynod.model.entry import (
    AppCreated,
    AppDestroyed,
    AppRenamed,
    BuildpacksSet,
    BuildSettled,
    BuildStackSet,
    BuildStarted,
    Entry,
    FeatureSet,
    FormationSet,
    MaintenanceSet,
    ReleaseCreated,
    ReleaseSettled,
    SlugAdded,
)
from dynod.model.formation import DEFAULT_SIZE, WEB, Formation
from dynod.model.release import Build, BuildId, BuildStatus, Release, ReleaseId, ReleaseStatus, SlugId

BORN = AppState(App(APP, NAME, OWNER, 1.0, 1.0, "debian-12", "debian-12"))
ROW = Formation("f1", WEB, 2, DEFAULT_SIZE, "serve")
PENDING, SUCCEEDED, FAILED = ReleaseStatus.PENDING, ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED


def born() -> Ledger:
    return after(Ledger(), [AppCreated(NAME, OWNER, "debian-12")])


def released(id: str, status: ReleaseStatus, slug: str | None = None, version: int = 1) -> ReleaseCreated:
    return ReleaseCreated(
        ReleaseId(id), version, "why", status, SlugId(slug) if slug else None, {"A": id}, phase=True
    )


def release(id: str, status: ReleaseStatus, at: float, **more: object) -> Release:
    known = Release(ReleaseId(id), 1, "why", status, None, {"A": id}, "e@x", 2.0, at, phase=True)
    return replace(known, **more)


def test_an_app_is_born() -> None:
    assert born() == Ledger(1, {APP: BORN}, {NAME: APP})


BUILD = Build(BuildId("b1"), BuildStatus.PENDING, "e@x", "c0ffee", "debian-12", ("up",), 2.0, 2.0)
CASES = {
    "renamed": ([AppRenamed(AppName("other"))], {"name": AppName("other")}, {}),
    "maintained": ([MaintenanceSet(on=True)], {"maintenance": True}, {}),
    "build stack": ([BuildStackSet("debian-13")], {"build_stack": "debian-13"}, {}),
    "buildpacks": ([BuildpacksSet(("a", "b"))], {"buildpacks": ("a", "b")}, {}),
    "feature": ([FeatureSet("preboot", enabled=True)], {}, {"features": {"preboot": True}}),
    "slug": ([SlugAdded(slug())], {}, {"slugs": {SlugId("s1"): slug()}}),
    "formation": ([FormationSet((ROW,))], {}, {"formation": (ROW,)}),
    "build": ([BuildStarted(BuildId("b1"), "c0ffee", "debian-12", ("up",))], {}, {"builds": (BUILD,)}),
    "release": (
        [released("r1", PENDING)],
        {},
        {"releases": (release("r1", PENDING, 2.0),), "config": {"A": "r1"}},
    ),
    "release that failed keeps its config for the next": (
        [released("r1", PENDING), ReleaseSettled(ReleaseId("r1"), FAILED)],
        {},
        {"releases": (release("r1", FAILED, 3.0),), "config": {"A": "r1"}},
    ),
    "release of a slug moves the app to its stack": (
        [SlugAdded(slug(stack="debian-13")), released("r1", SUCCEEDED, "s1")],
        {"stack": "debian-13"},
        {
            "slugs": {SlugId("s1"): slug(stack="debian-13")},
            "releases": (release("r1", SUCCEEDED, 3.0, created_at=3.0, slug=SlugId("s1")),),
            "config": {"A": "r1"},
        },
    ),
    "pending release moves it when it succeeds": (
        [
            SlugAdded(slug(stack="debian-13")),
            released("r1", PENDING, "s1"),
            ReleaseSettled(ReleaseId("r1"), SUCCEEDED),
        ],
        {"stack": "debian-13"},
        {
            "slugs": {SlugId("s1"): slug(stack="debian-13")},
            "releases": (release("r1", SUCCEEDED, 4.0, created_at=3.0, slug=SlugId("s1")),),
            "config": {"A": "r1"},
        },
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_what_an_entry_does(case) -> None:
    payloads, app, rest = case
    ledger = after(born(), payloads)
    expected = replace(BORN, **rest, app=replace(BORN.app, updated_at=float(ledger.revision), **app))
    assert ledger.apps == {APP: expected}
    assert ledger.names == {expected.app.name: APP}


def test_builds_are_settled_one_by_one() -> None:
    """The other build stays as it is; what was detected stays known when a later build finds nothing."""
    first, second = (BuildStarted(BuildId(id), id, "debian-12", ()) for id in ("b1", "b2"))
    ledger = after(born(), [first, second])
    ledger = after(
        ledger,
        [
            BuildSettled(BuildId("b2"), BuildStatus.SUCCEEDED, SlugId("s1"), ReleaseId("r1"), "Python"),
            BuildSettled(BuildId("b1"), BuildStatus.FAILED, None, None),
        ],
    )
    assert ledger.apps[APP].app.detected_buildpack == "Python"
    assert [(build.id, build.status, build.updated_at, build.slug) for build in ledger.apps[APP].builds] == [
        ("b1", BuildStatus.FAILED, 5.0, None),
        ("b2", BuildStatus.SUCCEEDED, 4.0, "s1"),
    ]


def test_a_destroyed_app_frees_its_name() -> None:
    ledger = after(born(), [AppDestroyed()])
    assert (ledger.apps, ledger.names) == ({}, {})
    again = after(ledger, [AppCreated(NAME, OWNER, "debian-12")], AppId("a2"))
    assert again.names == {NAME: "a2"}


def test_the_ledger_that_was_is_not_touched() -> None:
    before = born()
    after(before, [FeatureSet("x", enabled=True), SlugAdded(slug()), AppRenamed(AppName("other"))])
    assert before == born()


CORRUPT = {
    "cannot fold revision 3 after revision 1: entries are missing": (3, APP, MaintenanceSet(on=True)),
    "cannot fold revision 1 after revision 1: entries are missing": (1, APP, MaintenanceSet(on=True)),
    "cannot fold revision 2 (MaintenanceSet): app a9 is not there": (2, "a9", MaintenanceSet(on=True)),
    "cannot fold revision 2 (AppCreated): app a1 is there already": (2, APP, AppCreated(NAME, OWNER, "x")),
    "cannot fold revision 2 (AppCreated): name demo is taken": (2, "a2", AppCreated(NAME, OWNER, "x")),
    "cannot fold revision 2 (BuildSettled): build b1 is not there": (
        2,
        APP,
        BuildSettled(BuildId("b1"), BuildStatus.FAILED, None, None),
    ),
    "cannot fold revision 2 (ReleaseCreated): v2 cannot come before v1": (
        2,
        APP,
        released("r1", SUCCEEDED, version=2),
    ),
    "cannot fold revision 2 (ReleaseCreated): slug s1 is not there": (
        2,
        APP,
        released("r1", SUCCEEDED, "s1"),
    ),
    "cannot fold revision 2 (ReleaseSettled): release r1 is not there": (
        2,
        APP,
        ReleaseSettled(ReleaseId("r1"), FAILED),
    ),
}


@pytest.mark.parametrize("text", CORRUPT)
def test_what_is_no_ledger(text) -> None:
    revision, app, payload = CORRUPT[text]
    with pytest.raises(Corrupt) as caught:
        fold(born(), Entry(revision, AppId(app), "e@x", 9.0, payload))
    assert str(caught.value) == text


def test_the_releases_that_count() -> None:
    """Current is the newest that succeeded; deployed is it, if it has a slug; pending is the one in its phase."""
    nothing = born().apps[APP]
    assert (nothing.current, nothing.deployed, nothing.pending, nothing.next_version) == (None, None, None, 1)
    story = Story()
    assert [each.version for each in story.state.releases] == [1, 2]
    assert (story.state.current.version, story.state.deployed, story.state.next_version) == (2, None, 3)
    story.deploy(slug(web="serve", release="migrate"))
    assert (story.state.current.version, story.state.deployed, story.state.pending.version) == (2, None, 3)
    story.settle(SUCCEEDED)
    assert (story.state.current.version, story.state.deployed.version, story.state.pending) == (3, 3, None)
    story.config({"A": "1"}).settle(FAILED)
    assert (story.state.current.version, story.state.deployed.version, story.state.next_version) == (3, 3, 5)
    assert (story.state.deployed.config, story.state.config) == ({}, {"A": "1"})
    story.bare()
    assert (story.state.current.version, story.state.deployed) == (5, None)


def test_creation_draws_two_ids() -> None:
    drawn = ids()
    changes.create_app(Ledger(), NAME, OWNER, "debian-12", drawn)
    assert next(drawn) == "id3"
