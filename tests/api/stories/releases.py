"""Config vars and releases."""

from tests.api.story import covers, made


@covers("config.info", "config.update", "config.of-release")
async def config_vars_are_set_and_taken_away_in_one_release(whole):
    await made(whole)
    answer = await whole.ask("PATCH", "/apps/demo/config-vars", {"A": "1", "B": "zwei\nZeilen"})
    assert answer.body == {"A": "1", "B": "zwei\nZeilen"}
    assert (await whole.ask("PATCH", "/apps/demo/config-vars", {"A": None})).body == {"B": "zwei\nZeilen"}
    assert (await whole.ask("GET", "/apps/demo/config-vars")).body == {"B": "zwei\nZeilen"}
    assert (await whole.ask("GET", "/apps/demo/releases/3/config-vars")).body["A"] == "1"


@covers("config.update")
async def config_that_no_environment_can_hold_is_refused_by_name(whole):
    await made(whole)
    for body in ({"GOOD": "1", "NUL": "a\0b"}, {"NUL": 1}, {"NUL": ["a"]}):
        answer = await whole.ask("PATCH", "/apps/demo/config-vars", body)
        assert answer.status == 422
        assert "NUL" in answer.body["message"]
    assert (await whole.ask("GET", "/apps/demo/config-vars")).body == {}


@covers("releases.list")
async def the_newest_release_comes_first_when_asked(whole):
    await made(whole)
    for number in range(6):
        await whole.ask("PATCH", "/apps/demo/config-vars", {"N": str(number)})
    for words in ("version ..; order=desc,max=3", "version ..; max=3, order=desc"):
        answer = await whole.ask("GET", "/apps/demo/releases", Range=words)
        assert answer.status == 206
        assert [one["version"] for one in answer.body] == [8, 7, 6]
        assert [one["current"] for one in answer.body] == [True, False, False]
    more = await whole.ask("GET", "/apps/demo/releases", Range=answer.headers["Next-Range"])
    assert [one["version"] for one in more.body] == [5, 4, 3]
    everything = await whole.ask("GET", "/apps/demo/releases")
    assert (everything.status, [one["version"] for one in everything.body]) == (200, [*range(1, 9)])


@covers("releases.info")
async def a_release_is_found_by_id_and_by_version(whole):
    await made(whole, deployed=True)
    newest = (await whole.ask("GET", "/apps/demo/releases", Range="version ..; order=desc,max=1")).body[0]
    assert newest["description"] == "Deploy 01234567"
    assert (newest["eligible_for_rollback"], newest["output_stream_url"]) == (True, None)
    for ident in (newest["id"], "v3", "3"):
        assert (await whole.ask("GET", f"/apps/demo/releases/{ident}")).body == newest
    assert (await whole.ask("GET", "/apps/demo/releases/v99")).status == 404


@covers("releases.create")
async def releases_are_made_of_slugs_and_of_old_releases(whole):
    await made(whole, deployed=True)
    slug = (await whole.ask("GET", "/apps/demo/releases/v3")).body["slug"]["id"]
    answer = await whole.ask("POST", "/apps/demo/releases", {"slug": slug, "description": "Retry of v3"})
    assert (answer.status, answer.body["version"], answer.body["description"]) == (201, 4, "Retry of v3")
    back = await whole.ask("POST", "/apps/demo/releases", {"release": "v3"})
    assert (back.body["version"], back.body["description"]) == (5, "Rollback to v3")
    lines = await whole.ask("POST", "/apps/demo/releases", {"slug": slug, "description": "in\ntwo lines"})
    assert lines.body["description"] == "in\ntwo lines"
    for body, status in (({}, 422), ({"slug": 1}, 422), ({"slug": "none"}, 404), ({"release": "v99"}, 404)):
        assert (await whole.ask("POST", "/apps/demo/releases", body)).status == status
