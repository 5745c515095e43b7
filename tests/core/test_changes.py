"""Each wish: what it appends, when nothing, and every refusal."""

from collections.abc import Callable

import pytest
from ledger_samples import APP, NAME, OWNER, Story, drawer, ids, slug

from dynod.core import changes
from dynod.core.ledger import Ledger
from dynod.model.app import AppName
from dynod.model.entry import (
    AppCreated,
    AppDestroyed,
    AppRenamed,
    BuildpacksSet,
    BuildSettled,
    BuildStackSet,
    BuildStarted,
    FeatureSet,
    FormationSet,
    MaintenanceSet,
    ReleaseCreated,
    ReleaseSettled,
    SlugAdded,
)
from dynod.model.formation import DEFAULT_SIZE, RELEASE, WEB, Formation, Scale
from dynod.model.refused import Refusal, Refused
from dynod.model.release import BuildId, BuildStatus, ReleaseId, ReleaseStatus, SlugId

PENDING, SUCCEEDED, FAILED, EXPIRED = (
    ReleaseStatus.PENDING,
    ReleaseStatus.SUCCEEDED,
    ReleaseStatus.FAILED,
    ReleaseStatus.EXPIRED,
)
PHASED = slug("s2", web="serve", release="migrate")
R = ReleaseId("r9")


def refused(wish: Callable[[], object]) -> tuple[Refusal, str]:
    with pytest.raises(Refused) as caught:
        wish()
    return caught.value.refusal, caught.value.message


# -- apps --------------------------------------------------------------------------------------------------------


def test_an_app_starts_with_two_releases() -> None:
    assert changes.create_app(Ledger(), NAME, OWNER, "debian-12", ids()) == (
        AppCreated(NAME, OWNER, "debian-12"),
        ReleaseCreated(ReleaseId("id1"), 1, "Initial release", SUCCEEDED, None, {}),
        ReleaseCreated(ReleaseId("id2"), 2, "Enable Logplex", SUCCEEDED, None, {}),
    )


def test_a_name_is_one_apps() -> None:
    story = Story()
    taken = (Refusal.INVALID, "cannot create app demo: the name is already taken; choose another")
    assert refused(lambda: changes.create_app(story.ledger, NAME, OWNER, "x", ids())) == taken
    ledger, state = story.ledger, story.state
    assert changes.rename_app(ledger, state, NAME) == ()
    assert changes.rename_app(ledger, state, AppName("other")) == (AppRenamed(AppName("other")),)
    both = Ledger(ledger.revision, ledger.apps, {**ledger.names, AppName("other"): APP})
    taken = (Refusal.INVALID, "cannot rename app demo to other: the name is already taken; choose another")
    assert refused(lambda: changes.rename_app(both, state, AppName("other"))) == taken


def test_an_app_can_be_destroyed() -> None:
    assert changes.destroy_app(Story().deploy(PHASED).state) == (AppDestroyed(),)


def test_settings_change_once() -> None:
    """The second time nothing changes."""
    story = Story()
    stacks = ("debian-12", "debian-13")
    assert story.tell(changes.set_maintenance(story.state, on=True)).said == (MaintenanceSet(on=True),)
    assert changes.set_maintenance(story.state, on=True) == ()
    said = story.tell(changes.set_build_stack(story.state, "debian-13", stacks)).said
    assert said == (BuildStackSet("debian-13"),)
    assert changes.set_build_stack(story.state, "debian-13", stacks) == ()
    assert story.state.app.stack == "debian-12"
    assert story.tell(changes.set_buildpacks(story.state, ["a", "b"])).said == (BuildpacksSet(("a", "b")),)
    assert changes.set_buildpacks(story.state, ["a", "b"]) == ()
    assert changes.set_feature(story.state, "preboot", enabled=False) == ()
    said = story.tell(changes.set_feature(story.state, "preboot", enabled=True)).said
    assert said == (FeatureSet("preboot", enabled=True),)
    assert changes.set_feature(story.state, "preboot", enabled=True) == ()


def test_a_stack_that_is_not_there() -> None:
    state = Story().state
    assert refused(lambda: changes.set_build_stack(state, "heroku-24", ["debian-12", "debian-13"])) == (
        Refusal.INVALID,
        "cannot use stack 'heroku-24' for app demo: there are debian-12, debian-13",
    )


def test_what_is_changed_of_an_app_is_changed_whole_or_not_at_all() -> None:
    ledger, state, stacks = Story().ledger, Story().state, ("debian-12", "debian-13")

    def update(name: str | None = None, stack: str | None = None, maintenance: bool | None = None):
        wanted = None if name is None else AppName(name)
        return changes.update_app(ledger, state, stacks, name=wanted, stack=stack, maintenance=maintenance)

    assert update() == ()
    assert update("other", "debian-13", maintenance=True) == (
        AppRenamed(AppName("other")),
        BuildStackSet("debian-13"),
        MaintenanceSet(on=True),
    )
    assert refused(lambda: update("other", "heroku-24")) == (
        Refusal.INVALID,
        "cannot use stack 'heroku-24' for app demo: there are debian-12, debian-13",
    )


def test_one_build_at_a_time() -> None:
    story = Story()
    started = BuildStarted(BuildId("b1"), "c0ffee", "debian-12", ("a",))
    said = story.tell(changes.start_build(story.state, BuildId("b1"), "c0ffee", "debian-12", ["a"])).said
    assert said == (started,)
    assert refused(lambda: changes.start_build(story.state, BuildId("b2"), "", "debian-12", [])) == (
        Refusal.CONFLICT,
        "cannot build app demo: another build of it is running; try again when it has ended",
    )
    failed = BuildSettled(BuildId("b1"), BuildStatus.FAILED, None, None)
    assert story.tell(changes.fail_build(story.state, BuildId("b1"))).said == (failed,)
    assert changes.start_build(story.state, BuildId("b2"), "", "debian-12", []) != ()


def test_a_build_fails_once_and_not_without_its_app() -> None:
    story = Story()
    assert changes.fail_build(story.state, BuildId("b1")) == ()
    story.tell(changes.start_build(story.state, BuildId("b1"), "", "debian-12", []))
    story.tell(changes.fail_build(story.state, BuildId("b1")))
    assert changes.fail_build(story.state, BuildId("b1")) == ()
    assert changes.fail_build(None, BuildId("b1")) == ()


# -- releases ----------------------------------------------------------------------------------------------------


def test_config_before_any_deploy() -> None:
    assert Story().config({"A": "1"}).said == (
        ReleaseCreated(ReleaseId("r3"), 3, "Set A config vars", SUCCEEDED, None, {"A": "1"}),
    )
    assert Story().config({"A": None}).said == ()


def test_config_of_a_deployed_app() -> None:
    """The release carries the deployed slug, and waits where that has a release command."""
    plain = Story().deploy(slug()).config({"A": "1"})
    assert plain.said == (
        ReleaseCreated(ReleaseId("r4"), 4, "Set A config vars", SUCCEEDED, SlugId("s1"), {"A": "1"}),
    )
    phased = Story().deploy(PHASED).settle(SUCCEEDED).config({"A": "1"})
    assert phased.said == (
        ReleaseCreated(
            ReleaseId("r4"), 4, "Set A config vars", PENDING, SlugId("s2"), {"A": "1"}, phase=True
        ),
    )


def test_config_after_a_failed_deploy_keeps_the_running_slug() -> None:
    story = Story().deploy(slug()).deploy(PHASED).settle(FAILED).config({"A": "1"})
    assert (story.state.current.version, story.state.current.slug) == (5, "s1")


def row(type_: str, quantity: int, command: str, id: str) -> Formation:
    return Formation(id, type_, quantity, DEFAULT_SIZE, command)


def test_a_first_deploy_takes_effect_at_once() -> None:
    assert Story().deploy(slug()).said == (
        SlugAdded(slug()),
        ReleaseCreated(ReleaseId("r3"), 3, "Deploy 1a2b3c4d", SUCCEEDED, SlugId("s1"), {}),
        FormationSet((row(WEB, 1, "serve", "new1"),)),
    )


def test_a_known_slug_is_not_added_again() -> None:
    """And a formation that stays is not set again."""
    assert [type(each) for each in Story().deploy(slug()).deploy(slug()).said] == [ReleaseCreated]


def test_a_release_phase_comes_first() -> None:
    story = Story().deploy(PHASED)
    created = ReleaseCreated(ReleaseId("r3"), 3, "Deploy 1a2b3c4d", PENDING, SlugId("s2"), {}, phase=True)
    assert story.said == (SlugAdded(PHASED), created)
    assert story.settle(SUCCEEDED).said == (
        ReleaseSettled(ReleaseId("r3"), SUCCEEDED),
        FormationSet((row(RELEASE, 0, "migrate", "new1"), row(WEB, 1, "serve", "new2"))),
    )


def test_a_failed_release_phase_changes_nothing_that_runs() -> None:
    story = Story().deploy(slug()).deploy(PHASED)
    before = story.state.formation
    assert story.settle(FAILED).said == (ReleaseSettled(ReleaseId("r4"), FAILED),)
    assert (story.state.formation, story.state.deployed.version) == (before, 3)


def test_only_the_pending_release_is_settled() -> None:
    text = "cannot end release r9 of app demo: it is not pending"
    for story in (Story(), Story().deploy(PHASED), Story().deploy(PHASED).settle(FAILED)):
        wish = story.state
        found = refused(lambda wish=wish: changes.settle_release(wish, R, SUCCEEDED, drawer()))
        assert found == (Refusal.CONFLICT, text)


def test_no_release_beside_a_pending_one() -> None:
    state = Story().deploy(slug()).deploy(PHASED).state
    expected = (
        Refusal.CONFLICT,
        "cannot release app demo: v4 is still running its release command; try again when it has ended",
    )
    assert refused(lambda: changes.set_config(state, {"A": "1"}, R)) == expected
    assert refused(lambda: changes.deploy(state, slug(), "Deploy", R, drawer())) == expected
    assert refused(lambda: changes.create_release(state, slug(), None, R, drawer())) == expected
    assert refused(lambda: changes.rollback(state, state.releases[2], R, drawer())) == expected
    assert changes.set_config(state, {"A": None}, R) == ()


@pytest.mark.parametrize(
    ("asked", "commit", "description"),
    [
        (None, "1a2b3c4d5e6f", "Deploy 1a2b3c4d"),
        ("", "", "Deploy"),
        ("Promote x v2", "1a2b3c4d", "Promote x v2"),
    ],
)
def test_a_release_by_the_api_says_what_it_is(asked, commit, description) -> None:
    what = slug()
    known = type(what)(**{name: getattr(what, name) for name in what.__slots__} | {"commit": commit})
    _, created, _ = changes.create_release(Story().state, known, asked, R, drawer())
    assert created.description == description


def test_rollback_brings_slug_and_config_back() -> None:
    story = Story().deploy(slug()).config({"A": "1"}).deploy(slug("s3", web="v2", worker="w")).rollback(3)
    assert story.said == (
        ReleaseCreated(ReleaseId("r6"), 6, "Rollback to v3", SUCCEEDED, SlugId("s1"), {}),
        FormationSet((row(WEB, 1, "serve", "new1"),)),
    )
    assert story.state.config == {}


def test_rollback_runs_the_release_phase_of_its_slug() -> None:
    story = Story().deploy(PHASED).settle(SUCCEEDED).deploy(slug()).rollback(3)
    assert story.said == (
        ReleaseCreated(ReleaseId("r5"), 5, "Rollback to v3", PENDING, SlugId("s2"), {}, phase=True),
    )


def test_rollback_to_before_the_first_deploy() -> None:
    """It would take the formation away, and with it how the app was scaled."""
    state = Story().deploy(slug()).state
    found = refused(lambda: changes.rollback(state, state.releases[1], R, drawer()))
    assert found == (
        Refusal.INVALID,
        "cannot roll back app demo to v2: nothing was deployed yet; choose one that has a slug",
    )


def test_an_app_without_a_slug_is_there_to_be_deployed() -> None:
    """As versions of dynod left it that rolled back to before the first deploy."""
    story = Story().deploy(slug()).bare()
    assert story.config({"A": "1"}).state.current.slug is None
    assert story.deploy(slug()).state.formation[0].quantity == 1


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (FAILED, "it failed and never ran; choose one that succeeded"),
        (EXPIRED, "it has expired and its slug is gone; choose a newer one"),
    ],
)
def test_rollback_needs_a_release_that_ran(status, why) -> None:
    state = Story().deploy(PHASED).settle(status).state
    found = refused(lambda: changes.rollback(state, state.releases[2], R, drawer()))
    assert found == (Refusal.INVALID, f"cannot roll back app demo to v3: {why}")


def test_rollback_to_what_has_not_ended() -> None:
    state = Story().deploy(PHASED).state
    found = refused(lambda: changes.rollback(state, state.releases[2], R, drawer()))
    assert found == (Refusal.INVALID, "cannot roll back app demo to v3: it has not ended yet")


def test_rollback_to_another_apps_release() -> None:
    target = Story().deploy(slug()).state.releases[2]
    found = refused(lambda: changes.rollback(Story().state, target, R, drawer()))
    assert found == (Refusal.NOT_FOUND, "cannot roll back app demo to v3: it has no such release")


# -- formation ---------------------------------------------------------------------------------------------------


def test_scale_sets_the_formation() -> None:
    story = Story().deploy(slug())
    assert story.scale(Scale(WEB, "+2", None)).said == (FormationSet((row(WEB, 3, "serve", "new1"),)),)
    assert story.scale(Scale(WEB, "3", None)).said == ()
    assert changes.scaled(story.state, [Scale(WEB, "0", None)]) == (row(WEB, 0, "serve", "new1"),)
