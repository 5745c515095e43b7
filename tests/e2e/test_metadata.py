"""What an app learns of itself: HEROKU_APP_NAME and its like in dynos and in builds, where it asked for them."""

import re

import pytest

pytestmark = pytest.mark.e2e
APP = "known"
FEATURES = ("runtime-dyno-metadata", "runtime-dyno-build-metadata")


def known(text):
    """`HEROKU_X=y` lines as a dict."""
    return dict(re.findall(r"^(?:remote: *)?(HEROKU_\w+)=(.*?) *$", text.replace("\r", ""), re.MULTILINE))


def test_dynos_one_offs_and_builds_are_told_and_only_where_it_was_asked_for(platform):
    tree = platform.clone("shell", APP)
    (tree / "requirements.txt").write_text("")
    (tree / "bin").mkdir()
    (tree / "bin/post_compile").write_text("#!/bin/sh\nenv\n")
    (tree / "bin/post_compile").chmod(0o755)
    platform.commit(tree, "look")
    assert known(platform.push(tree)) == {}
    assert known(platform.dyno("run", "-a", APP, "--", "env").stdout) == {}
    before = platform.git(tree, "rev-parse", "HEAD").stdout.strip()

    for feature in FEATURES:
        platform.dyno("features:enable", feature, "-a", APP)
    platform.commit(tree, "again")
    commit = platform.git(tree, "rev-parse", "HEAD").stdout.strip()
    in_build = known(platform.push(tree))
    assert (in_build["HEROKU_APP_NAME"], in_build["HEROKU_RELEASE_VERSION"]) == (APP, "v3")
    assert (in_build["HEROKU_SLUG_COMMIT"], in_build["HEROKU_BUILD_COMMIT"]) == (before, commit)

    platform.until(lambda: platform.get(APP)[0] == 200, APP)
    (web,) = [one for one in platform.json("ps", "-a", APP) if one["type"] == "web"]
    told = known(platform.dyno("run:inside", "web.1", "-a", APP, "tr '\\0' '\\n' < /proc/2/environ").stdout)
    created = told.pop("HEROKU_RELEASE_CREATED_AT")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", created)
    info = platform.json("apps:info", "-a", APP)
    assert told == {
        "HEROKU_APP_ID": info.get("app", info)["id"],
        "HEROKU_APP_NAME": APP,
        "HEROKU_APP_DEFAULT_DOMAIN_NAME": f"{APP}.localhost",
        "HEROKU_DYNO_ID": web["id"],
        "HEROKU_RELEASE_VERSION": "v4",
        "HEROKU_SLUG_COMMIT": commit,
        "HEROKU_SLUG_DESCRIPTION": f"Deploy {commit[:8]}",
        "HEROKU_BUILD_COMMIT": commit,
        "HEROKU_BUILD_DESCRIPTION": f"Deploy {commit[:8]}",
    }
    one_off = known(platform.dyno("run", "-a", APP, "--", "env").stdout)
    assert one_off.keys() == {*told, "HEROKU_RELEASE_CREATED_AT"}
    assert one_off["HEROKU_DYNO_ID"] != web["id"]
