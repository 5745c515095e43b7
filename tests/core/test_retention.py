"""What may be thrown away, and what never is."""

from dataclasses import replace

from dynod.core import retention
from dynod.core.ledger import AppState
from dynod.model.app import Account, App, AppId, AppName
from dynod.model.release import Build, BuildId, BuildStatus, Release, ReleaseId, ReleaseStatus, Slug, SlugId

DAY = 86_400.0
NOW = 100 * DAY
APP = App(AppId("a1"), AppName("demo"), Account("u1", "me@x"), 0.0, 0.0, "debian-12", "debian-12")


def slug(number, at=0.0):
    return Slug(SlugId(f"s{number}"), f"sha{number}", 1, "", "", {}, "debian-12", "", at)


def release(number, at=0.0, status=ReleaseStatus.SUCCEEDED, slug_id="s"):
    named = SlugId(f"s{number}") if slug_id else None
    return Release(ReleaseId(f"r{number}"), number, "x", status, named, {}, "me@x", at, at)


def state(count, **first):
    releases = tuple(release(n, **(first if n == 1 else {})) for n in range(1, count + 1))
    return AppState(APP, releases=releases, slugs={SlugId(f"s{n}"): slug(n) for n in range(1, count + 1)})


def test_old_releases_beyond_the_newest_twenty_expire():
    assert [each.id for each in retention.expired(state(23), NOW)] == ["r1", "r2", "r3"]
    assert retention.expired(state(20), NOW) == ()


def test_what_is_young_has_no_slug_or_is_expired_already_stays():
    assert retention.expired(state(21, at=NOW - 29 * DAY), NOW) == ()
    assert retention.expired(state(21, slug_id=None), NOW) == ()
    assert retention.expired(state(21, status=ReleaseStatus.EXPIRED), NOW) == ()
    assert len(retention.expired(state(21, status=ReleaseStatus.FAILED), NOW)) == 1


def test_the_current_release_never_expires_however_many_failed_after_it():
    made = state(30)
    failed = tuple(replace(each, status=ReleaseStatus.FAILED) for each in made.releases[1:])
    made = replace(made, releases=(made.releases[0], *failed))
    assert "r1" not in {each.id for each in retention.expired(made, NOW)}
    none = replace(made, releases=tuple(replace(each, status=ReleaseStatus.FAILED) for each in made.releases))
    assert "r1" in {each.id for each in retention.expired(none, NOW)}


def test_slugs_are_needed_by_releases_of_any_app_and_while_they_are_new():
    one = state(2, status=ReleaseStatus.EXPIRED)
    assert retention.needed_slugs([one], NOW) == {"sha2"}
    other = replace(one, slugs={**one.slugs, SlugId("s9"): slug(9, NOW - DAY)})
    assert retention.needed_slugs([one, other], NOW) == {"sha2", "sha9"}


def test_the_newest_transcripts_are_kept_and_all_of_a_month():
    builds = tuple(
        Build(
            BuildId(f"b{n}"),
            BuildStatus.FAILED,
            "me@x",
            "",
            "debian-12",
            (),
            NOW - DAY if n == 1 else 0.0,
            0.0,
        )
        for n in range(1, 25)
    )
    needed = retention.needed_outputs([AppState(APP, builds=builds)], NOW)
    assert needed == {"b1", *(f"b{n}" for n in range(5, 25))}
