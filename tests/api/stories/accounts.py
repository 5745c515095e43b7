"""Who one is: the account, its token, its hours; over real HTTPS against the fake platform, as all stories."""

from tests.api.fake_platform import OWNER
from tests.api.story import covers


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
    body |= {"description": "in\ntwo lines", "scope": [""]}
    answer = await whole.ask("POST", "/oauth/authorizations", body)
    assert (answer.body["description"], answer.body["scope"]) == ("in\ntwo lines", [""])
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
