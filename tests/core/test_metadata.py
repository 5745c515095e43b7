"""What a dyno and a build are told about themselves, where their app asked for it (HEROKU.md 1.4)."""

from dataclasses import replace

from ledger_samples import Story, slug

from dynod.core import changes, metadata
from dynod.model.dyno import DynoId

APP = {
    "HEROKU_APP_ID": "a1",
    "HEROKU_APP_NAME": "demo",
    "HEROKU_APP_DEFAULT_DOMAIN_NAME": "demo.example.com",
}
COMMIT = "1a2b3c4d5e6f"


def story(*features):
    told = Story()
    for feature in features:
        told.tell(changes.set_feature(told.state, feature, enabled=True))
    return told


def of_dyno(told):
    return metadata.of_dyno(told.state, told.state.current, DynoId("d1"), "example.com")


def of_build(told):
    return metadata.of_build(told.state, "99887766554433", "example.com")


def test_an_app_that_did_not_ask_is_told_nothing():
    told = story().deploy(slug())
    assert of_dyno(told) == of_build(told) == {}


def test_a_dyno_is_told_of_its_app_itself_its_release_and_the_deploy_that_this_stands_on():
    told = story(metadata.DYNO).deploy(slug()).config({"A": "b"})
    assert told.state.current.description == "Set A config vars"
    assert told.state.current.created_at == 8.0
    assert of_dyno(told) == {
        **APP,
        "HEROKU_DYNO_ID": "d1",
        "HEROKU_RELEASE_CREATED_AT": "1970-01-01T00:00:08Z",
        "HEROKU_RELEASE_VERSION": "v4",
        "HEROKU_SLUG_COMMIT": COMMIT,
        "HEROKU_SLUG_DESCRIPTION": "Deploy 1a2b3c4d",
    }


def test_a_dyno_of_a_release_without_a_slug_is_told_of_none():
    told = story(metadata.DYNO, metadata.BUILD)
    assert of_dyno(told).keys() == {
        *APP, "HEROKU_DYNO_ID", "HEROKU_RELEASE_CREATED_AT", "HEROKU_RELEASE_VERSION",
    }  # fmt: skip


def test_what_was_built_is_a_feature_of_its_own():
    told = story(metadata.BUILD).deploy(slug())
    assert of_dyno(told) == {
        "HEROKU_BUILD_COMMIT": COMMIT,
        "HEROKU_BUILD_DESCRIPTION": "Deploy 1a2b3c4d",
    }
    assert of_build(told) == {
        "HEROKU_BUILD_COMMIT": "99887766554433",
        "HEROKU_BUILD_DESCRIPTION": "Deploy 99887766",
    }


def test_a_build_is_told_of_the_release_that_runs_meanwhile():
    told = story(metadata.DYNO)
    first = of_build(told)
    assert first == {
        **APP,
        "HEROKU_RELEASE_CREATED_AT": "1970-01-01T00:00:03Z",
        "HEROKU_RELEASE_VERSION": "v2",
    }
    assert of_build(told.deploy(slug()))["HEROKU_SLUG_COMMIT"] == COMMIT


def test_a_build_of_an_app_that_never_had_a_release_is_told_of_the_app():
    state = replace(story(metadata.DYNO).state, releases=())
    assert metadata.of_build(state, COMMIT, "example.com") == APP
