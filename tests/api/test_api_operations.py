"""Every row of the table over real HTTPS against the fake platform: what it answers, what it changes, what it refuses."""

import hashlib
import inspect

import pytest
from x509_samples import Signer

from dynod.api.operations import OPERATIONS, STREAMS, parameters
from dynod.model.autopsy import Autopsy, Cause, Changed
from dynod.model.formation import MIB, SIZES, DynoSize, offer
from dynod.model.release import ReleaseStatus
from dynod.model.traffic import Latency, Traffic
from tests.api.fake_platform import OWNER
from tests.api.served import Served

CASES = {}
GZIP = b"\x1f\x8b a tarball, as far as the fake can tell"


def covers(*names):
    """Mark a story as the test of these rows."""

    def mark(story):
        for name in names:
            assert name in {row.name for row in OPERATIONS}, f"{name} is no row"
            CASES.setdefault(name, []).append(story)
        return story

    return mark


@pytest.fixture(scope="module")
def served():
    one = Served()
    yield one
    one.close()


async def made(whole, name="demo", *, deployed=False):
    """Return a fresh app, of that name whatever was before."""
    for app in list(whole.platform.apps()):
        await whole.platform.destroy_app(None, app)
    whole.platform.done.clear()
    answer = await whole.ask("POST", "/apps", {"name": name})
    assert answer.status == 201
    if deployed:
        await deploy(whole, name)
    return answer.body


async def deploy(whole, name="demo", version="0123456789abcdef", **blob):
    source = (await whole.ask("POST", "/sources")).body["source_blob"]
    put = await whole.ask("PUT", source["put_url"], GZIP, token="")
    assert put.status == 200
    body = {"source_blob": {"url": source["get_url"], "version": version, **blob}}
    return await whole.ask("POST", f"/apps/{name}/builds", body)


# -- who ------------------------------------------------------------------------------------------------------------


@covers("account.info", "account.self")
async def account_has_the_fields_the_cli_reads(whole):
    for path in ("/account", "/users/~"):
        answer = await whole.ask("GET", path)
        assert answer.status == 200
        assert answer.body["email"] == "owner@example.com"
        assert answer.body["two_factor_authentication"] is False


@covers("account.rate-limits")
async def to_ask_how_many_requests_are_left_takes_none(whole):
    answer = await whole.ask("GET", "/account")
    asked = await whole.ask("GET", "/account/rate-limits")
    left = [int(each.headers["RateLimit-Remaining"]) for each in (answer, asked)]
    assert left[0] <= left[1] <= asked.body["remaining"] <= 4500


@covers("account.quota")
async def eco_hours_are_told_in_seconds(whole):
    whole_account = {
        "id": OWNER.id,
        "account_quota": 3_600_000,
        "quota_used": 7260,
        "apps": [{"app_uuid": "app-a", "quota_used": 60}, {"app_uuid": "app-b", "quota_used": 7200}],
    }
    for ident in ("~", OWNER.id, OWNER.email):
        assert (await whole.ask("GET", f"/accounts/{ident}/actions/get-quota")).body == whole_account
    answer = await whole.ask("GET", "/accounts/somebody-else/actions/get-quota")
    assert (answer.status, answer.body["id"]) == (404, "not_found")


@covers("account.features", "account.feature", "account.feature.update")
async def there_are_no_account_features(whole):
    assert (await whole.ask("GET", "/account/features")).body == []
    for method in ("GET", "PATCH"):
        answer = await whole.ask(method, "/account/features/preboot", {"enabled": True})
        assert (answer.status, answer.body["id"]) == (404, "not_found")


@covers("authorizations.create")
async def the_token_is_the_password_of_login(whole):
    basic = "Basic b3duZXJAZXhhbXBsZS5jb206b3duZXItdG9rZW4="  # owner@example.com:owner-token
    body = {"description": "cli", "expires_in": 2592000, "scope": ["global"]}
    answer = await whole.ask("POST", "/oauth/authorizations", body, token="", Authorization=basic)
    assert answer.status == 201
    assert answer.body["access_token"]["token"] == "owner-token"
    assert answer.body["user"]["email"] == "owner@example.com"
    wrong = await whole.ask("POST", "/oauth/authorizations", body, token="", Authorization="Basic YTpi")
    assert wrong.status == 401


@covers("authorizations.list", "authorizations.info", "sessions.end")
async def logging_out_finds_the_one_authorization_and_leaves_it(whole):
    listed = (await whole.ask("GET", "/oauth/authorizations")).body
    assert [one["access_token"]["token"] for one in listed] == ["owner-token"]
    assert (await whole.ask("GET", "/oauth/authorizations/~")).body == listed[0]
    assert (await whole.ask("GET", f"/oauth/authorizations/{listed[0]['id']}")).body == listed[0]
    assert (await whole.ask("GET", "/oauth/authorizations/other")).status == 404
    assert (await whole.ask("DELETE", "/oauth/sessions/~")).status == 200


@covers("teams.list")
async def there_are_no_teams(whole):
    assert (await whole.ask("GET", "/teams")).body == []


# -- the machine ----------------------------------------------------------------------------------------------------


@covers("regions.list", "regions.info")
async def the_machine_is_one_region(whole):
    (region,) = (await whole.ask("GET", "/regions")).body
    assert region["name"] == "us"
    assert (await whole.ask("GET", "/regions/us")).body == region
    assert (await whole.ask("GET", "/regions/eu")).status == 404


@covers("sizes.list", "sizes.info")
async def sizes_are_herokus_and_then_those_of_this_machine(whole):
    offer([DynoSize("small", 128 * MIB, 1, 64, 20, 0)])
    try:
        sizes = (await whole.ask("GET", "/dyno-sizes")).body
        assert {one["name"] for one in sizes} >= {"Eco", "Standard-1X", "Performance-2XL", "small"}
        small = (await whole.ask("GET", "/dyno-sizes/SMALL")).body
        assert (small["memory"], small["cost"], small["compute"]) == (0.125, None, 1)
        eco = (await whole.ask("GET", "/dyno-sizes/eco")).body
        assert (eco["memory"], eco["cost"], eco["dyno_units"]) == (0.5, {"cents": 500, "unit": "month"}, 0)
        assert (await whole.ask("GET", f"/dyno-sizes/{eco['id']}")).body == eco
        assert (await whole.ask("GET", "/dyno-sizes/mega")).status == 404
    finally:
        SIZES.pop("small", None)


@covers("stacks.list", "stacks.info")
async def the_default_stack_comes_first(whole):
    stacks = (await whole.ask("GET", "/stacks")).body
    assert [(one["name"], one["default"]) for one in stacks] == [("debian-12", True), ("heroku-24", False)]
    assert (await whole.ask("GET", "/stacks/heroku-24")).body["name"] == "heroku-24"
    assert (await whole.ask("GET", "/stacks/cedar-10")).status == 404


@covers("status.info", "buildpacks.lookup")
async def the_side_services_need_no_token(whole):
    status = await whole.ask("GET", "/api/v4/current-status", token="")
    assert {one["status"] for one in status.body["status"]} == {"green"}
    lookup = await whole.ask("GET", "/buildpacks/heroku%2Fpython", token="")
    assert (lookup.body["name"], lookup.body["blob_url"]) == ("heroku/python", "urn:buildpack:heroku/python")


# -- apps -----------------------------------------------------------------------------------------------------------


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
    refused = await whole.ask("PATCH", "/apps/demo2", {"maintenance": "yes", "name": "demo3"})
    assert refused.status == 422
    assert "maintenance" in refused.body["message"]
    assert (await whole.ask("GET", "/apps/demo2")).status == 200  # nothing was changed before the refusal


@covers("apps.destroy")
async def a_destroyed_app_answers_what_it_was_and_is_gone(whole):
    await made(whole)
    answer = await whole.ask("DELETE", "/apps/demo")
    assert (answer.status, answer.body["name"]) == (200, "demo")
    assert (await whole.ask("GET", "/apps/demo")).status == 404


@covers("apps.addons", "apps.collaborators", "apps.coupling")
async def an_apps_page_has_no_addons_its_owner_and_no_pipeline(whole):
    await made(whole)
    assert (await whole.ask("GET", "/apps/demo/addons")).body == []
    (owner,) = (await whole.ask("GET", "/apps/demo/collaborators")).body
    assert (owner["user"]["email"], owner["role"]) == ("owner@example.com", "owner")
    answer = await whole.ask("GET", "/apps/demo/pipeline-couplings")
    assert (answer.status, answer.body["id"]) == (404, "not_found")


@covers("domains.list", "domains.info")
async def an_app_has_the_platforms_domain(whole):
    await made(whole)
    (domain,) = (await whole.ask("GET", "/apps/demo/domains", Range="id ..; max=1000;")).body
    assert (domain["hostname"], domain["kind"]) == ("demo.localhost", "heroku")
    assert (await whole.ask("GET", "/apps/demo/domains/demo.localhost")).body == domain
    assert (await whole.ask("GET", "/apps/demo/domains/www.example.com")).status == 404


@covers("domains.create", "domains.update", "domains.remove")
async def a_name_of_ones_own_comes_and_goes(whole):
    await made(whole)
    answer = await whole.ask(
        "POST", "/apps/demo/domains", {"hostname": "WWW.example.com", "sni_endpoint": None}
    )
    assert answer.status == 201
    domain = answer.body
    assert (domain["hostname"], domain["kind"], domain["cname"]) == (
        "www.example.com",
        "custom",
        "demo.localhost",
    )
    assert (domain["acm_status"], domain["sni_endpoint"], domain["status"]) == (None, None, "none")
    listed = (await whole.ask("GET", "/apps/demo/domains")).body
    assert [one["hostname"] for one in listed] == ["demo.localhost", "www.example.com"]
    for ident in ("www.example.com", domain["id"]):
        assert (await whole.ask("GET", f"/apps/demo/domains/{ident}")).body == domain
    for name, why in (
        ("www.example.com", "it has it already"),
        ("x.localhost", "those of apps"),
        ("no", "a dot"),
    ):
        refused = await whole.ask("POST", "/apps/demo/domains", {"hostname": name, "sni_endpoint": None})
        assert (refused.status, refused.body["id"]) == (422, "invalid_params")
        assert why in refused.body["message"]
    lost = await whole.ask("PATCH", "/apps/demo/domains/www.example.com", {"sni_endpoint": "nobody"})
    assert lost.status == 404
    assert (await whole.ask("DELETE", "/apps/demo/domains/www.example.com")).body == domain
    assert (await whole.ask("DELETE", "/apps/demo/domains/www.example.com")).status == 404
    assert (await whole.ask("DELETE", "/apps/demo/domains/demo.localhost")).status == 404


@covers(
    "sni-endpoints.list",
    "sni-endpoints.info",
    "sni-endpoints.create",
    "sni-endpoints.update",
    "sni-endpoints.remove",
)
async def a_certificate_is_taken_shown_changed_and_let_go(whole):
    await made(whole)
    signer = Signer()
    await whole.ask("POST", "/apps/demo/domains", {"hostname": "www.example.com", "sni_endpoint": None})
    chain, key = signer.server("*.example.com")
    body = {"certificate_chain": chain, "private_key": key}
    answer = await whole.ask("POST", "/apps/demo/sni-endpoints", body)
    assert answer.status == 201
    endpoint, certificate = answer.body, answer.body["ssl_cert"]
    assert (certificate["acm"], certificate["ca_signed?"], certificate["cert_domains"]) == (
        False,
        True,
        ["*.example.com"],
    )
    assert key.splitlines()[1] not in str(endpoint)
    name = endpoint["name"]
    domain = (await whole.ask("GET", "/apps/demo/domains/www.example.com")).body
    assert (endpoint["domains"], domain["sni_endpoint"]) == (
        [domain["id"]],
        {"id": endpoint["id"], "name": name},
    )
    assert (await whole.ask("GET", "/apps/demo/sni-endpoints")).body == [endpoint]
    assert (await whole.ask("GET", f"/apps/demo/sni-endpoints/{endpoint['id']}")).body == endpoint

    chain, key = signer.server("www.example.org")
    wrong = await whole.ask(
        "PATCH", f"/apps/demo/sni-endpoints/{name}", {"certificate_chain": chain, "private_key": key}
    )
    assert (wrong.status, "is not for www.example.com" in wrong.body["message"]) == (422, True)
    assert (await whole.ask("POST", "/apps/demo/sni-endpoints", {**body, "private_key": key})).status == 422
    assert (await whole.ask("POST", "/apps/demo/sni-endpoints", {"certificate_chain": chain})).status == 422
    chain, key = signer.server("www.example.com", "www.example.org")
    body = {"certificate_chain": chain, "private_key": key}
    changed = (await whole.ask("PATCH", f"/apps/demo/sni-endpoints/{name}", body)).body
    assert changed["ssl_cert"]["cert_domains"] == ["www.example.com", "www.example.org"]
    bare = await whole.ask("PATCH", "/apps/demo/domains/www.example.com", {"sni_endpoint": None})
    assert bare.body["sni_endpoint"] is None
    shown = await whole.ask("PATCH", "/apps/demo/domains/www.example.com", {"sni_endpoint": name})
    assert shown.body["sni_endpoint"]["name"] == name
    assert (await whole.ask("DELETE", f"/apps/demo/sni-endpoints/{name}")).status == 200
    assert (await whole.ask("GET", f"/apps/demo/sni-endpoints/{name}")).status == 404
    assert (await whole.ask("GET", "/apps/demo/domains/www.example.com")).body["sni_endpoint"] is None


@covers("acm.enable", "acm.disable", "acm.refresh")
async def automatic_certificates_are_switched_on_and_off(whole):
    await made(whole)
    await whole.ask("POST", "/apps/demo/domains", {"hostname": "*.example.com", "sni_endpoint": None})
    await whole.ask("POST", "/apps/demo/domains", {"hostname": "www.example.com", "sni_endpoint": None})
    assert (await whole.ask("PATCH", "/apps/demo/acm", {"acm_refresh": True})).status == 422
    assert (await whole.ask("POST", "/apps/demo/acm", {})).body["acm"] is True
    rows = {row["hostname"]: row for row in (await whole.ask("GET", "/apps/demo/domains")).body}
    star, www = rows["*.example.com"], rows["www.example.com"]
    assert (star["acm_status"], www["acm_status"]) == ("failed", "pending")
    assert "certificate of your own" in star["acm_status_reason"]
    assert (await whole.ask("PATCH", "/apps/demo/acm", {"acm_refresh": True})).status == 200
    assert (await whole.ask("DELETE", "/apps/demo/acm")).body["acm"] is False


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


# -- config and releases --------------------------------------------------------------------------------------------


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
    for body, status in (({}, 422), ({"slug": 1}, 422), ({"slug": "none"}, 404), ({"release": "v99"}, 404)):
        assert (await whole.ask("POST", "/apps/demo/releases", body)).status == status


# -- builds and slugs -----------------------------------------------------------------------------------------------


@covers("sources.create", "builds.create", "builds.info", "builds.list")
async def a_source_is_put_built_and_its_output_read(whole):
    await made(whole)
    build = (await deploy(whole)).body
    assert build["source_blob"]["version"] == "0123456789abcdef"
    assert (await whole.ask("GET", f"/apps/demo/builds/{build['id']}")).body["status"] == "succeeded"
    assert [one["id"] for one in (await whole.ask("GET", "/apps/demo/builds")).body] == [build["id"]]
    output = await whole.ask("GET", build["output_stream_url"], token="")
    assert output.body.startswith(b"-----> Building on the Debian-12 stack\n")
    assert (await whole.ask("GET", "/apps/demo/builds/none")).status == 404


@covers("builds.create")
async def a_build_takes_our_own_sources_only(whole):
    await made(whole)
    nothing = (await whole.ask("POST", "/sources")).body["source_blob"]["get_url"]
    for url in (
        "https://example.com/app.tgz",
        "file:///etc/passwd",
        "http://[",
        nothing,
        f"{nothing}x",
        "",
        5,
    ):
        answer = await whole.ask("POST", "/apps/demo/builds", {"source_blob": {"url": url}})
        assert answer.status in {404, 422}, url
    assert (await whole.ask("POST", "/apps/demo/builds", {})).status == 422
    good, bad = hashlib.sha256(GZIP).hexdigest(), "0" * 64
    assert (await deploy(whole, checksum=f"SHA256:{bad}")).status == 422
    assert (await deploy(whole, checksum=f"SHA256:{good}")).status == 201


@covers("builds.clear-cache")
async def the_build_cache_is_cleared(whole):
    await made(whole)
    assert (await whole.ask("DELETE", "/apps/demo/build-cache")).status == 200
    assert ("clear_cache", "demo") in whole.platform.done


@covers("buildpacks.list", "buildpacks.update")
async def buildpacks_are_replaced_as_a_whole(whole):
    await made(whole)
    updates = [{"buildpack": "heroku/nodejs"}, {"buildpack": "urn:buildpack:heroku/python"}]
    answer = await whole.ask("PUT", "/apps/demo/buildpack-installations", {"updates": updates})
    assert [(one["ordinal"], one["buildpack"]["url"]) for one in answer.body] == [
        (0, "heroku/nodejs"),
        (1, "heroku/python"),
    ]
    assert (await whole.ask("GET", "/apps/demo/buildpack-installations")).body == answer.body
    for body in ({}, {"updates": "x"}, {"updates": [1]}, {"updates": [{}]}):
        assert (await whole.ask("PUT", "/apps/demo/buildpack-installations", body)).status == 422


@covers("slugs.create", "slugs.info")
async def a_slug_made_elsewhere_is_announced_put_and_released(whole):
    await made(whole)
    announced = await whole.ask(
        "POST", "/apps/demo/slugs", {"process_types": {"web": "./serve"}, "commit": "abc"}
    )
    ident, blob = announced.body["id"], announced.body["blob"]
    early = await whole.ask("POST", "/apps/demo/releases", {"slug": ident})
    assert (early.status, "PUT" in early.body["message"]) == (422, True)
    assert (await whole.ask("PUT", blob["url"], b"no gzip", token="")).status == 422
    assert (await whole.ask(blob["method"].upper(), blob["url"], GZIP, token="")).status == 200
    assert (await whole.ask("PUT", blob["url"], GZIP, token="")).status == 409
    released = await whole.ask("POST", "/apps/demo/releases", {"slug": ident})
    assert (released.status, released.body["version"]) == (201, 3)
    info = (await whole.ask("GET", f"/apps/demo/slugs/{ident}")).body
    assert info["process_types"] == {"web": "./serve"}
    assert info["checksum"] == f"SHA256:{hashlib.sha256(GZIP).hexdigest()}"
    assert (await whole.ask("GET", info["blob"]["url"], token="")).body == GZIP
    for body in ({}, {"process_types": {}}, {"process_types": {"web": 1}}, {"process_types": {"a b": "x"}}):
        assert (await whole.ask("POST", "/apps/demo/slugs", body)).status == 422
    assert (await whole.ask("GET", "/apps/demo/slugs/none")).status == 404


# -- formation and dynos --------------------------------------------------------------------------------------------


@covers("formation.list", "formation.info")
async def the_formation_lists_types(whole):
    await made(whole, deployed=True)
    rows = (await whole.ask("GET", "/apps/demo/formation")).body
    assert [(row["type"], row["quantity"], row["size"]) for row in rows] == [
        ("web", 1, "Standard-1X"),
        ("worker", 0, "Standard-1X"),
    ]
    assert (await whole.ask("GET", "/apps/demo/formation/worker")).body == rows[1]
    assert (await whole.ask("GET", "/apps/demo/formation/none")).status == 404


@covers("formation.update", "formation.update-one")
async def scaling_takes_what_the_cli_writes(whole):
    await made(whole, deployed=True)
    updates = [{"type": "web", "quantity": "2"}, {"type": "worker", "quantity": "+1", "size": "Standard-2X"}]
    answer = await whole.ask("PATCH", "/apps/demo/formation", {"updates": updates})
    assert [(row["quantity"], row["size"]) for row in answer.body] == [(2, "Standard-1X"), (1, "Standard-2X")]
    one = await whole.ask("PATCH", "/apps/demo/formation/web", {"quantity": 3, "size": "performance-m"})
    assert (one.body["quantity"], one.body["size"]) == (3, "Performance-M")
    for row in (
        {"quantity": "many"},
        {"quantity": -1},
        {"quantity": True},
        {"size": "huge"},
        {"quantity": 1.5},
    ):
        assert (await whole.ask("PATCH", "/apps/demo/formation/web", row)).status == 422, row
        body = {"updates": [{"type": "worker", "quantity": 9}, {"type": "web", **row}]}
        assert (await whole.ask("PATCH", "/apps/demo/formation", body)).status == 422, row
    assert (await whole.ask("GET", "/apps/demo/formation/worker")).body["quantity"] == 1  # all or none
    assert (await whole.ask("PATCH", "/apps/demo/formation", {"updates": [{"type": "none"}]})).status == 404


@covers("dynos.list", "dynos.info")
async def dynos_are_listed_and_found_by_name_and_id(whole):
    await made(whole, deployed=True)
    (web,) = (await whole.ask("GET", "/apps/demo/dynos")).body
    assert (web["name"], web["type"], web["state"]) == ("web.1", "web", "up")
    assert web["release"]["version"] == 3
    for ident in ("web.1", web["id"]):
        assert (await whole.ask("GET", f"/apps/demo/dynos/{ident}")).body == web
    assert (await whole.ask("GET", "/apps/demo/dynos/web.9")).status == 404
    assert (await whole.ask("GET", "/apps/demo/dynos?extended=true")).body[0]["extended"]["region"] == "us"


@covers("dynos.create")
async def a_detached_one_off_takes_its_fields(whole):
    await made(whole, deployed=True)
    body = {
        "command": "echo $WORD",
        "env": {"WORD": "hi", "COLUMNS": 80},
        "size": "Standard-2X",
        "time_to_live": 60,
        "type": "rake",
        "attach": False,
    }
    answer = await whole.ask("POST", "/apps/demo/dynos", body)
    assert (answer.status, answer.body["attach_url"], answer.body["type"]) == (201, None, "rake")
    (asked,) = [ask for what, ask in whole.platform.done if what == "run"]
    assert (asked.env, asked.ttl, asked.size.name) == ({"WORD": "hi", "COLUMNS": "80"}, 60, "Standard-2X")


@covers("dynos.create")
async def a_one_off_that_cannot_be_is_refused_by_field(whole):
    await made(whole, deployed=True)
    for field, value in (
        ("command", ""),
        ("command", 5),
        ("command", "a\0b"),
        ("attach", "yes"),
        ("env", []),
        ("env", {"A": {}}),
        ("size", "huge"),
        ("type", "a b"),
        ("type", "release"),
        ("time_to_live", 0),
        ("time_to_live", 86401),
        ("force_no_tty", 1),
    ):
        answer = await whole.ask("POST", "/apps/demo/dynos", {"command": "ls", field: value})
        assert answer.status == 422, (field, value)
    assert not [one for one in whole.platform.done if one[0] == "run"]


@covers("dynos.why", "dynos.autopsy")
async def causes_and_ends_are_told_of_dynos_that_are_no_more(whole):
    app = await made(whole)
    whole.platform.causes = [Cause(5.0, "d1", "web.7", "crashed", "exited with status 1")]
    files = (Changed("/app/x", "file", 2),)
    death = Autopsy("d1", "web.7", "crashed", 1, "c", 9, 3, "Basic", "./s", 1.0, 5.0, ("l",), files, cut=True)
    whole.platform.deaths = [death]
    assert (await whole.ask("GET", "/apps/demo/dynos/web.7/why")).body == [
        {
            "app": {"id": app["id"], "name": "demo"},
            "created_at": "1970-01-01T00:00:05Z",
            "dyno": {"id": "d1", "name": "web.7"},
            "event": "crashed",
            "reason": "exited with status 1",
        }
    ]
    (body,) = (await whole.ask("GET", "/apps/demo/dynos/d1/autopsy")).body
    assert body["files"] == [{"path": "/app/x", "kind": "file", "size": 2}]
    assert (body["exit_status"], body["memory_peak"], body["files_truncated"]) == (1, 9, True)
    assert (await whole.ask("GET", "/apps/demo/dynos/web.8/why")).body == []


@covers("metrics.router")
async def what_came_of_an_apps_requests(whole):
    app = await made(whole)
    service, connect = Latency(), Latency()
    service.note(7, 98)
    service.note(40, 2)
    connect.note(0, 100)
    whole.platform.requests = {"demo": Traffic({200: 98, 503: 2}, {"H12": 2}, 10, 2000, service, connect)}
    body = (await whole.ask("GET", "/apps/demo/router-metrics")).body
    whole.platform.requests = {}
    part = {
        "bytes_in": 10,
        "bytes_out": 2000,
        "codes": {"H12": 2},
        "connect_ms": {"max": 0, "mean": 0.0, "p50": 0, "p95": 0, "p99": 0},
        "requests": 100,
        "service_ms": {"max": 40, "mean": 7.7, "p50": 7, "p95": 7, "p99": 40},
        "statuses": {"1xx": 0, "2xx": 98, "3xx": 0, "4xx": 0, "5xx": 2},
    }
    assert body == {
        "app": {"id": app["id"], "name": "demo"},
        "in_flight": 2,
        "recent": {**part, "seconds": 330},
        "since": "2023-11-14T22:13:20Z",
        "total": part,
    }
    nothing = (await whole.ask("GET", "/apps/demo/router-metrics")).body["total"]
    assert nothing["service_ms"] == {"max": None, "mean": None, "p50": None, "p95": None, "p99": None}


@covers("dynos.run-inside")
async def a_command_runs_in_a_dyno(whole):
    await made(whole, deployed=True)
    body = {"command": "ls", "env": {"TERM": "dumb", "COLUMNS": 80}, "force_no_tty": True}
    answer = await whole.ask("POST", "/apps/demo/dynos/web.1", body)
    assert (answer.status, answer.body["name"], answer.body["type"]) == (201, "web.1", "web")
    assert answer.body["attach_url"].startswith(f"rendezvous://127.0.0.1:{whole.api.rendezvous_port}/")
    kind, name, asked = whole.platform.done[-1]
    assert (kind, name, asked.command, asked.force_no_tty) == ("exec", "web.1", "ls", True)
    assert (await whole.ask("POST", "/apps/demo/dynos/web.9", {"command": "ls"})).status == 404
    for body in ({}, {"command": ""}, {"command": 1}, {"command": "a\0"}, {"command": "ls", "env": "x"}):
        assert (await whole.ask("POST", "/apps/demo/dynos/web.1", body)).status == 422


@covers("dynos.restart-all", "dynos.restart", "dynos.restart-type", "dynos.stop", "dynos.stop-type")
async def dynos_are_restarted_and_stopped(whole):
    await made(whole, deployed=True)
    for method, path, done in (
        ("DELETE", "dynos", ("restart", "demo", None)),
        ("DELETE", "dynos/web.1", ("restart", "demo", "web.1")),
        ("DELETE", "formations/web", ("restart", "demo", "web")),
        ("POST", "dynos/web.1/actions/stop", ("stop", "demo", "web.1")),
        ("POST", "formations/web/actions/stop", ("stop", "demo", "web")),
    ):
        answer = await whole.ask(method, f"/apps/demo/{path}")
        assert (answer.status, answer.body) == (202, {})
        assert whole.platform.done[-1] == done
    assert (await whole.ask("DELETE", "/apps/demo/dynos/web.9")).status == 404


@covers("logs.create")
async def a_log_session_gives_an_address(whole):
    await made(whole)
    answer = await whole.ask("POST", "/apps/demo/log-sessions", {"lines": 5, "tail": False, "source": "app"})
    assert answer.status == 201
    assert answer.body["logplex_url"].startswith(f"{whole.url}/streams/logs/")
    for body in ({"lines": -1}, {"lines": "5"}, {"tail": "yes"}, {"dyno": 1}, {"source": []}):
        assert (await whole.ask("POST", "/apps/demo/log-sessions", body)).status == 422


# -- the table itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("story", sorted({each.__name__: each for all_ in CASES.values() for each in all_}))
def test_story(served, story):
    """Each story, by its name."""
    served.run(globals()[story](served.whole))


def test_every_row_has_a_story():
    assert set(CASES) == {row.name for row in OPERATIONS}


def test_rows_do_not_collide():
    """No two rows have one name, or one method and path."""
    names = [row.name for row in (*OPERATIONS, *STREAMS)]
    assert len(names) == len(set(names))
    places = [(row.method, row.path) for row in OPERATIONS]
    assert len(places) == len(set(places))


@pytest.mark.parametrize("row", OPERATIONS, ids=lambda row: row.name)
def test_a_row_lets_in_who_it_says(served, row):
    """Without a token 401, with a stranger's no more than 403, unless the row is everybody's."""

    async def story(whole):
        await made(whole, deployed=True)
        path = row.path.format(**dict.fromkeys(parameters(row.path), "x") | {"app": "demo"})
        answer = await whole.ask(row.method, path, token="")
        if row.access.value == "public":
            assert answer.status == 200
            return
        assert (answer.status, answer.body["id"]) == (401, "unauthorized")
        assert (await whole.ask(row.method, path, token="wrong")).status == 401
        if "{app}" in row.path:
            answer = await whole.ask(row.method, path, token="stranger-token")
            assert (answer.status, answer.body["id"]) == (403, "forbidden")

    served.run(story(served.whole))


def test_handlers_read_no_clock_of_their_own():
    """Time comes in with the links, so that answers can be compared."""
    for row in OPERATIONS:
        assert "time.time" not in inspect.getsource(row.handler)


def test_a_failed_release_is_neither_current_nor_a_way_back(served):
    async def story(whole):
        await made(whole, deployed=True)
        house = whole.platform.house("demo")
        failed = type(house.releases[-1])
        house.releases[-1] = failed(
            *(
                ReleaseStatus.FAILED if name == "status" else getattr(house.releases[-1], name)
                for name in failed.__slots__
            )
        )
        newest = (await whole.ask("GET", "/apps/demo/releases/v3")).body
        assert (newest["status"], newest["current"], newest["eligible_for_rollback"]) == (
            "failed",
            False,
            False,
        )
        assert (await whole.ask("GET", "/apps/demo/releases/v2")).body["current"] is True

    served.run(story(served.whole))
