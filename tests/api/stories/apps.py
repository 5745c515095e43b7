"""Apps: made, listed, renamed, switched, destroyed."""

from tests.api.story import covers, made


@covers("apps.create", "apps.info")
async def a_new_app_has_addresses_and_an_owner(whole):
    app = await made(whole)
    assert app["web_url"] == "http://demo.localhost:8080/"
    assert app["git_url"] == f"{whole.url}/demo.git"
    assert app["owner"]["email"] == "owner@example.com"
    assert app["stack"]["name"] == app["build_stack"]["name"] == "debian-12"
    assert (await whole.ask("GET", "/apps/demo")).body == app
    assert (await whole.ask("GET", f"/apps/{app['id']}")).body == app


@covers("apps.create")
async def creating_refuses_what_it_cannot_do_and_names_the_field(whole):
    await made(whole)
    for body, word in (
        ({"name": "demo"}, "taken"),
        ({"name": "No Name"}, "No Name"),
        ({"name": 7}, "name"),
        ({"name": "other", "region": "mars"}, "mars"),
        ({"name": "other", "stack": ["a"]}, "stack"),
        (["name"], "body"),
    ):
        answer = await whole.ask("POST", "/apps", body)
        assert (answer.status, answer.body["id"]) == (422, "invalid_params"), body
        assert word in answer.body["message"]
    assert (await whole.ask("POST", "/apps", {"region": {"name": "us"}, "unknown": 1})).status == 201


@covers("apps.list", "apps.mine")
async def lists_hold_ones_own_apps_only(whole):
    await made(whole)
    await whole.ask("POST", "/apps", {"name": "theirs"}, token="stranger-token")
    for path in ("/apps", "/users/~/apps"):
        assert [app["name"] for app in (await whole.ask("GET", path)).body] == ["demo"]


@covers("apps.update")
async def an_app_is_renamed_put_into_maintenance_and_moved_to_a_stack(whole):
    await made(whole)
    answer = await whole.ask(
        "PATCH", "/apps/demo", {"name": "demo2", "maintenance": True, "build_stack": "heroku-24"}
    )
    assert (answer.body["name"], answer.body["maintenance"]) == ("demo2", True)
    assert answer.body["build_stack"]["name"] == "heroku-24"
    assert (await whole.ask("GET", "/apps/demo")).status == 404
    for field, value in (("maintenance", "yes"), ("build_stack", "cedar-10")):
        refused = await whole.ask("PATCH", "/apps/demo2", {field: value, "name": "demo3"})
        assert refused.status == 422
        assert (field if field == "maintenance" else value) in refused.body["message"]
    assert (await whole.ask("GET", "/apps/demo2")).body == answer.body  # nothing was changed before a refusal


@covers("apps.destroy")
async def a_destroyed_app_answers_what_it_was_and_is_gone(whole):
    await made(whole)
    answer = await whole.ask("DELETE", "/apps/demo")
    assert (answer.status, answer.body["name"]) == (200, "demo")
    assert (await whole.ask("GET", "/apps/demo")).status == 404


@covers("apps.addons", "apps.attachments", "addons.list", "attachments.list")
async def there_are_no_addons_and_none_can_be_had(whole):
    await made(whole)
    for path in ("/apps/demo/addons", "/apps/demo/addon-attachments", "/addons", "/addon-attachments"):
        assert (await whole.ask("GET", path)).body == []
    answer = await whole.ask("POST", "/apps/demo/addons", {"plan": {"name": "heroku-postgresql:essential-0"}})
    assert (answer.status, answer.body["id"]) == (404, "not_found")
    assert answer.body["message"] == "cannot do that: this platform has no add-ons"


@covers("apps.collaborators", "apps.coupling")
async def an_apps_page_has_its_owner_and_no_pipeline(whole):
    await made(whole)
    (owner,) = (await whole.ask("GET", "/apps/demo/collaborators")).body
    assert (owner["user"]["email"], owner["role"]) == ("owner@example.com", "owner")
    answer = await whole.ask("GET", "/apps/demo/pipeline-couplings")
    assert (answer.status, answer.body["id"]) == (404, "not_found")


@covers("features.list", "features.info", "features.update")
async def features_are_switched_by_name(whole):
    await made(whole)
    names = [one["name"] for one in (await whole.ask("GET", "/apps/demo/features")).body]
    assert {"preboot", "rolling-deploys", "freeze-when-idle"} <= set(names)
    assert "preboot" in names
    assert (await whole.ask("GET", "/apps/demo/features/preboot")).body["enabled"] is False
    assert (await whole.ask("PATCH", "/apps/demo/features/preboot", {"enabled": True})).body[
        "enabled"
    ] is True
    assert (await whole.ask("GET", "/apps/demo/features/preboot")).body["enabled"] is True
    assert (await whole.ask("PATCH", "/apps/demo/features/preboot", {})).status == 422
    assert (await whole.ask("GET", "/apps/demo/features/flying")).status == 404
    ssh = await whole.ask("GET", "/apps/demo/features/runtime-heroku-exec")  # `heroku ps:exec` asks first
    assert (ssh.status, "use `heroku run:inside web.1 bash`" in ssh.body["message"]) == (404, True)
