"""Rules common to all of HTTP: errors, headers, bodies, ranges on the wire, who gets in."""

import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dynod.api import http
from dynod.api.operation import Front
from dynod.api.operations import OPERATIONS, parameters
from dynod.core.allowance import Allowance
from dynod.model.refused import Refusal, Refused
from tests.api.fake_platform import OWNER
from tests.api.served import Served, run

UNKNOWN = (
    "The requested API endpoint was not found. Are you using the right HTTP verb (i.e. `GET` vs. `POST`), "
    "and did you specify your intended version with the `Accept` header?"
)


@pytest.fixture(scope="module")
def served():
    one = Served()
    one.whole.platform.pretend = True
    yield one
    one.close()


def test_unknown_places_and_wrong_verbs_are_not_found(served):
    async def story(whole):
        for method, path in (
            ("GET", "/nope"),
            ("PUT", "/apps"),
            ("GET", "/apps/demo/weather"),
            ("POST", "/"),
        ):
            answer = await whole.ask(method, path)
            assert (answer.status, answer.body) == (404, {"id": "not_found", "message": UNKNOWN})

    served.run(story(served.whole))


@pytest.mark.parametrize(
    ("method", "path", "noun"),
    [
        ("GET", "/apps/demo/webhooks", "webhooks"),
        ("GET", "/apps/demo/webhook-deliveries", "webhooks"),
        ("POST", "/apps/demo/log-drains", "log drains"),
        ("DELETE", "/apps/demo/log-drains/https%3A%2F%2Fx.example%2Fl", "log drains"),
        ("POST", "/actions/addons/resolve", "add-ons"),
        ("GET", "/addon-services/heroku-redis/plans", "add-ons"),
        ("GET", "/client/v11/databases/db", "add-ons for data"),
        ("GET", "/pipelines?eq[name]=x", "pipelines"),
        ("POST", "/pipeline-promotions", "pipelines"),
        ("POST", "/filters/apps", "pipelines"),
        ("GET", "/pipelines/x/test-runs", "continuous integration"),
        ("GET", "/apps/demo/review-app", "review apps"),
        ("GET", "/apps/demo/telemetry-drains", "telemetry drains"),
        ("GET", "/spaces/x/nat", "private spaces"),
        ("POST", "/apps/demo/collaborators", "collaborators: an app has its owner alone"),
        (
            "POST",
            "/account/app-transfers",
            "accounts but one, so that no app is transferred, shared or locked",
        ),
        ("PATCH", "/teams/apps/demo", "accounts but one, so that no app is transferred, shared or locked"),
        ("GET", "/teams/acme/members", "teams"),
        ("GET", "/account/keys", "SSH keys: git comes over HTTPS, with your token"),
        ("GET", "/oauth/clients", "other sessions, clients and authorizations than your token"),
    ],
)
def test_what_heroku_has_and_we_have_not_is_told_in_plain_words(served, method, path, noun):
    async def story(whole):
        answer = await whole.ask(method, path)
        message = f"cannot do that: this platform has no {noun}"
        assert (answer.status, answer.body) == (404, {"id": "not_found", "message": message})

    served.run(story(served.whole))


def test_a_head_is_a_get_without_its_body(served):
    async def story(whole):
        for path in ("/account", "/regions", "/apps/none"):
            asked, heads = await whole.ask("GET", path), await whole.ask("HEAD", path)
            assert (heads.status, heads.body) == (asked.status, b"")
            for name in ("ETag", "Content-Type", "Content-Length", "Accept-Ranges", "Content-Range"):
                assert heads.headers.get(name) == asked.headers.get(name), name

    served.run(story(served.whole))


def test_every_answer_has_the_common_headers(served):
    async def story(whole):
        seen = set()
        for path in ("/account", "/nope", "/apps/none", "/streams/logs/x"):
            answer = await whole.ask("GET", path, Request_Id=",".join(["0" * 36] * 150))
            assert answer.headers["Content-Type"].startswith("application/json")
            assert 0 < int(answer.headers["RateLimit-Remaining"]) <= 4500
            seen.add(answer.headers["Request-Id"])
        assert len(seen) == 4

    served.run(story(served.whole))


def test_requests_are_counted_and_nobody_is_refused(served):
    async def story(whole):
        answer = await whole.ask("GET", "/account")
        # It took one itself, whatever came back before.
        assert 0 < int(answer.headers["RateLimit-Remaining"]) <= 4499
        assert (await whole.ask("GET", "/nope")).headers["RateLimit-Remaining"] == "4500"  # of nobody
        front = Front(None, None, None, "", "", {OWNER.id: Allowance(0.2, time.monotonic() + 3600)})
        assert [front.spend(OWNER), front.spend(OWNER), front.left(OWNER)] == [0, 0, 0]

    served.run(story(served.whole))


def test_an_unchanged_answer_is_not_sent_twice(served):
    async def story(whole):
        first = await whole.ask("GET", "/account")
        again = await whole.ask("GET", "/account", If_None_Match=first.headers["ETag"])
        assert (again.status, again.body) == (304, b"")
        other = await whole.ask("GET", "/regions", If_None_Match=first.headers["ETag"])
        assert other.status == 200

    served.run(story(served.whole))


@pytest.mark.parametrize(
    "header",
    [
        "Bearer owner-token",
        "bearer  owner-token ",
        "Basic Om93bmVyLXRva2Vu",
        "Basic aGVyb2t1Om93bmVyLXRva2Vu",
    ],
)
def test_a_token_comes_as_bearer_or_as_a_password(served, header):
    async def story(whole):
        assert (await whole.ask("GET", "/account", token="", Authorization=header)).status == 200

    served.run(story(served.whole))


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", "Basic", "Basic !!!", "Basic /w==", "Digest x", "Bearer x"]
)
def test_anything_else_is_nobody(served, header):
    async def story(whole):
        answer = await whole.ask("GET", "/account", token="", Authorization=header)
        assert (answer.status, answer.body["id"]) == (401, "unauthorized")

    served.run(story(served.whole))


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff",
        b"NaN",
        b'{"a": Infinity}',
        b"[" * 100_000,
        b'{"name": "\\ud800"}',
        b"1" * 5000,
        b'"\\u0000',
    ],
)
def test_what_is_no_json_is_a_bad_request(served, body):
    async def story(whole):
        answer = await whole.ask("POST", "/apps", body)
        assert (answer.status, answer.body["id"]) == (400, "bad_request")

    served.run(story(served.whole))


def test_a_body_is_bounded(served):
    async def story(whole):
        answer = await whole.ask("POST", "/apps", b'{"name": "' + b"x" * 2_000_000 + b'"}')
        assert answer.status == 413

    served.run(story(served.whole))


def test_a_bad_range_is_not_satisfied(served):
    async def story(whole):
        for words in ("bytes=0-5", "color ..", "name ..; max=0", "name ..; order=up", "name", "version a..b"):
            answer = await whole.ask("GET", "/apps", Range=words)
            assert (answer.status, answer.body["id"]) == (416, "requested_range_not_satisfiable"), words

    served.run(story(served.whole))


def test_lists_are_cut_and_go_on_where_next_range_says():
    async def story(whole):
        for number in range(205):
            await whole.platform.create_app(whole.platform.owner(), f"app-{number:03d}", None)
        names, words = [], None
        statuses = []
        while True:
            answer = await whole.ask("GET", "/apps", **({"Range": words} if words else {}))
            statuses.append(answer.status)
            names += [app["name"] for app in answer.body]
            words = answer.headers.get("Next-Range")
            if words is None:
                break
        assert statuses == [206, 200]
        assert names == [f"app-{number:03d}" for number in range(205)]
        assert answer.headers["Content-Range"] == "name app-200..app-204"

    run(story)


def test_addresses_follow_the_host_the_client_used(served):
    """Through an ssh tunnel the API has another port; what we hand out must work there."""

    async def story(whole):
        for host, seen in (
            ("localhost:7001", "https://localhost:7001"),
            ("a/b", whole.url),
            ("[::1]:9", "https://[::1]:9"),
        ):
            put = (await whole.ask("POST", "/sources", Host=host)).body["source_blob"]["put_url"]
            assert put.startswith(f"{seen}/blobs/"), host

    served.run(story(served.whole))


def test_a_change_once_begun_is_made_though_the_client_hangs_up(served):
    import asyncio

    async def story(whole):
        begun, go = asyncio.Event(), asyncio.Event()
        original = whole.platform.create_app

        async def slow(*args):
            begun.set()
            await go.wait()
            return await original(*args)

        whole.platform.create_app = slow
        asking = asyncio.ensure_future(whole.ask("POST", "/apps", {"name": "patient"}))
        await begun.wait()
        server, gone = whole.api._runner.server, asyncio.Event()
        lost = server.connection_lost
        server.connection_lost = lambda *args: (lost(*args), gone.set())
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await gone.wait()  # the server has seen the client go
        go.set()
        whole.platform.create_app = original
        while (await whole.ask("GET", "/apps/patient")).status != 200:
            pass

    served.run(story(served.whole))


# -- nothing that is sent makes us fail -----------------------------------------------------------------------------

NAMES = st.sampled_from(
    [
        "name",
        "region",
        "stack",
        "maintenance",
        "build_stack",
        "enabled",
        "slug",
        "release",
        "description",
        "source_blob",
        "url",
        "version",
        "checksum",
        "buildpacks",
        "updates",
        "buildpack",
        "process_types",
        "commit",
        "type",
        "quantity",
        "size",
        "command",
        "attach",
        "env",
        "force_no_tty",
        "time_to_live",
        "lines",
        "dyno",
        "source",
        "tail",
        "scope",
        "A",
    ]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["web", "demo", "v3", "+1", "-1", "2", "Standard-2X", "heroku-24", "us", "..", "\0", "", "release"]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)
BODIES = st.dictionaries(NAMES, VALUES, max_size=6) | VALUES
WRITING = [row for row in OPERATIONS if row.method != "GET"]


@pytest.mark.parametrize("row", WRITING, ids=lambda row: row.name)
def test_no_body_makes_us_fail(served, row):
    """Whatever is sent is answered or refused; a refusal has an id and a message."""

    @settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(
        body=BODIES,
        word=st.sampled_from(["demo", "web", "web.1", "v3", "%00", "..", "preboot", "%ff", "a b"]),
    )
    def given_bodies(body, word):
        async def story(whole):
            if not whole.platform.apps():
                await whole.platform.create_app(whole.platform.owner(), "demo", None)
            known = dict.fromkeys(parameters(row.path), word) | {"app": whole.platform.apps()[0].id}
            answer = await whole.ask(row.method, row.path.format(**known), body)
            assert answer.status < 500, answer.body
            if answer.status >= 400:
                assert answer.body["id"]
                assert answer.body["message"]

        served.run(story(served.whole))

    given_bodies()


@given(st.binary(max_size=60))
def test_parse_gives_a_value_or_refuses(data):
    try:
        http.parse(data)
    except Refused as refused:
        if refused.refusal is not Refusal.BAD_REQUEST:
            raise
