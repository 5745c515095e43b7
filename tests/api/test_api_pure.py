"""The API's pure parts: ranges, seals and addresses, the sentinel, renderings, log events, exports."""

import contextlib
import itertools
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.api import fields, logs, ranges, render
from dynod.api.exports import cli_exports
from dynod.api.links import DAY, Links, Seal
from dynod.api.sentinel import MARK, Sentinel
from dynod.model.app import App, AppId, AppName
from dynod.model.domain import Certificate, Domain, DomainId, EndpointId, Hostname, SniEndpoint
from dynod.model.dyno import DynoId, DynoName, DynoState, DynoView
from dynod.model.formation import DEFAULT_SIZE, WEB, Formation, dyno_size
from dynod.model.log import HISTORY, LogLine, LogQuery
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Build, BuildId, BuildStatus, Release, ReleaseId, ReleaseStatus, Slug, SlugId
from tests.api.fake_platform import OWNER

SEAL = Seal(b"k" * 32)
LINKS = Links("https://127.0.0.1:5000", "localhost", 8080, SEAL, 1000.0)


@contextlib.contextmanager
def refused_at_most(refusal):
    """Let pass what is answered, and what is refused for this reason."""
    try:
        yield
    except Refused as refused:
        if refused.refusal is not refusal:
            raise


# -- ranges ---------------------------------------------------------------------------------------------------------

ROWS = [{"version": number, "id": f"{number:04d}"} for number in range(1, 31)]


@pytest.mark.parametrize(
    ("text", "versions", "follows"),
    [
        ("version ..", [*range(1, 31)], None),
        ("version ..; order=desc,max=3", [30, 29, 28], "version ]28..; order=desc,max=3"),
        ("version ..; max=3, order=desc", [30, 29, 28], "version ]28..; order=desc,max=3"),
        ("version ]28..; order=desc,max=3", [27, 26, 25], "version ]25..; order=desc,max=3"),
        ("version 28..;max=2", [28, 29], "version ]29..; max=2"),
        ("version [28..29]", [28, 29], None),
        ("version ]28..30[", [29], None),
        ("id ..; max=1000;", [*range(1, 31)], None),
        ("id ]0028..; max=200", [29, 30], None),
        ("version 40..", [], None),
        ("version -5..2", [1, 2], None),
    ],
)
def test_ranges_are_read_as_clients_write_them(text, versions, follows):
    page = ranges.page(ROWS, ranges.parse(text, ("version", "id")))
    assert [row["version"] for row in page.items] == versions
    assert (None if page.next is None else str(page.next)) == follows


@given(
    values=st.lists(st.integers(0, 50), unique=True),
    most=st.integers(1, 10),
    descending=st.booleans(),
    start=st.none() | st.integers(0, 50),
)
def test_following_next_range_gives_every_item_once_in_order(values, most, descending, start):
    """Against the obvious twin: filter, sort, done."""
    rows = [{"version": value} for value in values]
    first = "" if start is None else str(start)
    asked = ranges.parse(f"version {first}..; max={most}{', order=desc' if descending else ''}", ("version",))
    seen = []
    while asked is not None:
        page = ranges.page(rows, asked)
        assert len(page.items) <= most
        seen += [row["version"] for row in page.items]
        asked = None if page.next is None else ranges.parse(str(page.next), ("version",))
    kept = [one for one in values if start is None or (one <= start if descending else one >= start)]
    assert seen == sorted(kept, reverse=descending)


@given(st.text(max_size=40))
def test_a_range_is_understood_or_refused(text):
    with refused_at_most(Refusal.RANGE):
        ranges.page(ROWS, ranges.parse(text, ("version", "id")))


# -- seals ----------------------------------------------------------------------------------------------------------


@given(value=st.lists(st.text() | st.integers()), purpose=st.text())
def test_a_seal_opens_what_it_closed(value, purpose):
    assert SEAL.open(purpose, SEAL.close(purpose, value, 10.0), 10.0) == value


@given(at=st.integers(0), to=st.characters(codec="utf-8"))
def test_no_letter_of_a_seal_can_be_changed(at, to):
    text = SEAL.close("logs", ["app", 5], 10.0)
    at %= len(text)
    if text[at] == to or (at == len(text) - 1):  # the last letter has two unused bits
        return
    with pytest.raises(Refused):
        SEAL.open("logs", text[:at] + to + text[at + 1 :], 0.0)


@pytest.mark.parametrize("text", ["", ".", "a.b", "a" * 1000, "ä.ö"])
def test_nothing_else_opens(text):
    with pytest.raises(Refused):
        SEAL.open("logs", text, 0.0)


def test_a_seal_is_for_one_purpose_one_key_and_some_time():
    text = SEAL.close("logs", 1, 10.0)
    for seal, purpose, now in ((SEAL, "output", 0.0), (Seal(b"other"), "logs", 0.0), (SEAL, "logs", 10.1)):
        with pytest.raises(Refused):
            seal.open(purpose, text, now)


def test_an_output_address_is_the_same_all_day_and_good_for_another():
    one, later = LINKS, Links(LINKS.api, "localhost", 8080, SEAL, DAY - 1)
    assert one.output("build", "a", "b") == later.output("build", "a", "b")
    token = one.output("build", "a", "b").rpartition("/")[2]
    assert SEAL.open("output", token, 2 * DAY) == ["build", "a", "b"]


def test_the_usual_web_port_is_not_named():
    assert Links("https://h:1", "example.com", 80, SEAL, 0.0).web("demo") == "http://demo.example.com/"


# -- the sentinel ---------------------------------------------------------------------------------------------------

LINE = MARK + b" heroku-command-exit-status: 127\r\n"
NOISE = st.lists(
    st.sampled_from([b"a", b"\n", MARK, MARK[:1], MARK[:2], b" heroku-command", LINE, b"\xc3\xa4"])
)


@given(NOISE, st.data())
def test_the_sentinel_loses_and_adds_nothing(parts, data):
    """Whole, in any pieces: the same bytes in the same order."""
    whole, sentinel, out = b"".join(parts), Sentinel(), b""
    rest = whole
    while rest:
        cut = data.draw(st.integers(1, len(rest)))
        out += b"".join(sentinel.feed(rest[:cut]))
        rest = rest[cut:]
    assert out + b"".join(sentinel.flush()) == whole


@given(before=NOISE, cuts=st.lists(st.integers(0, 200)), tail=st.sampled_from([b"", b"more\n"]))
def test_the_status_line_is_one_piece(before, cuts, tail):
    whole = b"".join(before).rstrip(MARK) + b"x\n" + LINE + tail
    sentinel, pieces = Sentinel(), []
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        pieces += sentinel.feed(whole[start:end])
    pieces += sentinel.flush()
    assert pieces.count(LINE) == whole.count(LINE)


@given(before=NOISE, cuts=st.lists(st.integers(0, 200)), asked=st.booleans())
def test_a_status_is_owed_until_it_was_said(before, cuts, asked):
    whole = b"".join(before)
    sentinel = Sentinel(f"ls ; echo '{LINE.decode()}'" if asked else "ls")
    places = sorted({0, len(whole), *(cut % (len(whole) + 1) for cut in cuts)})
    for start, end in itertools.pairwise(places):
        sentinel.feed(whole[start:end])
    sentinel.flush()
    assert sentinel.owed is (asked and LINE not in whole)
    assert Sentinel.told(127) + b"\r\n" == LINE


def test_other_output_is_not_held_back():
    sentinel = Sentinel()
    assert sentinel.feed(b"prompt$ ") == [b"prompt$ "]
    assert b"".join(sentinel.feed(MARK + b"?")) == MARK + b"?"


# -- renderings -----------------------------------------------------------------------------------------------------

APP = App(AppId(str(uuid.uuid4())), AppName("demo"), OWNER, 0.0, 86_400.5, "debian-12", "debian-12")
RELEASE = Release(
    ReleaseId("r"), 3, "Deploy", ReleaseStatus.SUCCEEDED, SlugId("s"), {}, OWNER.email, 0.0, 0.0, phase=True
)
ENDPOINT = SniEndpoint(
    EndpointId("e"),
    "quiet-river",
    Certificate("c", "k", ("a.example.com",), 0.0, 1.0, "/CN=i", "/CN=s"),
    0.0,
    0.0,
)
DOMAIN = Domain(DomainId("d"), Hostname("a.example.com"), 0.0, 0.0, EndpointId("e"))
SLUG = Slug(SlugId("s"), "0" * 64, 5, "", "", {WEB: "./serve"}, "debian-12", "", 0.0)

# The schema's own property names, kept here by hand: platform-api-schema.json, version 3.
SCHEMA = {
    "account": (
        render.account(OWNER),
        (
            "allow_tracking beta country_of_residence created_at default_organization default_team delinquent_at email "
            "federated id identity_provider last_login name sms_number suspended_at two_factor_authentication "
            "updated_at verified"
        ),
    ),
    "app": (
        render.app(APP, LINKS, SLUG, 0.0),
        (
            "acm archived_at build_stack buildpack_provided_description created_at git_url id internal_routing "
            "maintenance name organization owner region released_at repo_size slug_size space stack team updated_at "
            "web_url create_status generation locked process_tier"
        ),
    ),
    "build": (
        render.build(
            APP, Build(BuildId("b"), BuildStatus.PENDING, OWNER.email, "c", "debian-12", (), 0.0, 0.0), LINKS
        ),
        "app buildpacks created_at id output_stream_url release slug source_blob stack status updated_at user",
    ),
    "collaborator": (render.collaborator(APP), "app created_at id permissions role updated_at user"),
    "domain": (
        render.domain(APP, LINKS),
        "acm_status acm_status_reason app cname created_at hostname id kind sni_endpoint status updated_at",
    ),
    "domain, custom": (
        render.custom_domain(APP, DOMAIN, ENDPOINT, ("failing", "why"), LINKS),
        "acm_status acm_status_reason app cname created_at hostname id kind sni_endpoint status updated_at",
    ),
    "sni-endpoint": (
        render.sni_endpoint(APP, ENDPOINT, ["d"]),
        "app certificate_chain created_at display_name domains id name ssl_cert updated_at",
    ),
    "dyno": (
        render.dyno(
            APP,
            DynoView(DynoId("d"), DynoName(WEB, 1), DynoState.UP, "Eco", "x", 3, "r", 0.0, 0.0),
        ),
        "app attach_url command created_at id name release size state type updated_at",
    ),
    "feature": (
        render.feature("app", "preboot", {}, enabled=True),
        "created_at description display_name doc_url enabled feedback_email id name state updated_at",
    ),
    "formation": (
        render.formation(APP, Formation("f", WEB, 1, DEFAULT_SIZE, "x")),
        "app command created_at id quantity size type updated_at",
    ),
    "authorization": (
        render.authorization(OWNER, "t", ["global"], "d"),
        "access_token client created_at description grant id refresh_token scope updated_at user",
    ),
    "region": (
        render.region(),
        "country created_at description id locale name private_capable provider updated_at",
    ),
    "release": (
        render.release(APP, RELEASE, LINKS, RELEASE),
        (
            "addon_plan_names app created_at current description eligible_for_rollback id output_stream_url slug status "
            "updated_at user version"
        ),
    ),
    "slug": (
        render.slug(APP, SLUG, LINKS),
        (
            "blob buildpack_provided_description checksum commit commit_description created_at id process_types size "
            "stack updated_at"
        ),
    ),
    "stack": (render.stack("debian-12", default=True), "created_at default id name state updated_at"),
}


@pytest.mark.parametrize("name", SCHEMA)
def test_an_object_has_every_field_of_the_schema(name):
    rendered, names = SCHEMA[name]
    assert set(names.split()) <= set(rendered)


def test_times_are_whole_seconds_in_utc():
    assert render.app(APP, LINKS, None, None)["updated_at"] == "1970-01-02T00:00:00Z"


# -- bodies ---------------------------------------------------------------------------------------------------------


@given(
    st.none()
    | st.binary()
    | st.lists(st.integers())
    | st.dictionaries(st.text() | st.integers(), st.integers())
)
def test_a_mapping_is_a_mapping_or_refused(value):
    with refused_at_most(Refusal.INVALID):
        assert all(isinstance(key, str) for key in fields.mapping(value))


# -- log events -----------------------------------------------------------------------------------------------------


def line(at, text="x", process="web.1"):
    return LogLine("a", at, "app", process, text)


def test_a_line_is_written_as_log_readers_expect():
    at = 1_740_910_272_345_678
    assert logs.text(line(at, "hello")) == "2025-03-02T10:11:12.345678+00:00 app[web.1]: hello"


def test_a_line_is_one_event_whatever_is_in_it():
    data = logs.event(line(1, "a\rb\nc"), "1-x")
    assert data.count(b"\n") == 3
    assert data.endswith(b" app[web.1]: ab c\n\n")


@given(times=st.lists(st.integers(1, 6), min_size=1, max_size=30), read=st.integers(0, 29))
def test_a_reader_who_comes_back_gets_the_rest_once(times, read):
    """Lines out of order and of one moment too."""
    ring = [line(at, f"text {number}") for number, at in enumerate(times)]
    read %= len(ring)
    first = logs.Unseen("")
    seen = [one for one in ring[: read + 1] if first.take(one)]
    again = logs.Unseen(logs.event_id(first.newest, seen[-1]))
    assert seen == ring[: read + 1]
    assert [one for one in ring if again.take(one)] == ring[read + 1 :]


def test_a_reader_whose_last_line_is_gone_gets_what_is_newer():
    again = logs.Unseen(logs.event_id(5, line(5, "rotated away")))
    assert [one.at for one in (line(3), line(4), line(6), line(5), line(7)) if again.take(one)] == [6, 5, 7]


@pytest.mark.parametrize("ident", ["", "x", "-", "\u0661-x", "9" * 30 + "-x"])
def test_a_strange_last_event_id_is_none(ident):
    assert logs.Unseen(ident).take(line(1))
    assert logs.resumed(LogQuery("a", 5), ident).lines == 5


def test_who_comes_back_asks_the_whole_ring():
    assert logs.resumed(LogQuery("a", 5), "12-abc").lines == HISTORY


# -- exports --------------------------------------------------------------------------------------------------------


def test_the_exports_point_every_service_at_us():
    ready = {"api": "https://127.0.0.1:5000", "ca": "/run/dynod/ca.pem", "token": "secret"}
    assert cli_exports(ready) == {
        "HEROKU_HOST": "https://127.0.0.1:5000",
        "HEROKU_API_KEY": "secret",
        "HEROKU_PARTICLEBOARD_URL": "https://127.0.0.1:5000",
        "HEROKU_DATA_HOST": "127.0.0.1",
        "HEROKU_STATUS_HOST": "https://127.0.0.1:5000",
        "HEROKU_BUILDPACK_REGISTRY_URL": "https://127.0.0.1:5000",
        "HEROKU_EXEC_URL": "https://127.0.0.1:5000",
        "HEROKU_LOGIN_HOST": "https://127.0.0.1:5000",
        "HEROKU_GIT_HOST": "127.0.0.1:5000",
        "NODE_EXTRA_CA_CERTS": "/run/dynod/ca.pem",
        "GIT_SSL_CAINFO": "/run/dynod/ca.pem",
        "DISABLE_TELEMETRY": "true",
        "HEROKU_SKIP_NEW_VERSION_CHECK": "true",
        "HEROKU_NOTIFICATIONS": "0",
    }


@pytest.mark.parametrize(
    ("sizes", "tier"),
    [((), "production"), (("Eco", "Eco"), "eco"), (("Basic",), "basic"), (("Standard-1X",), "production")],
)
def test_the_tier_of_an_app_is_its_dynos(sizes, tier):
    rows = [Formation("f", WEB, 1, dyno_size(size), "x") for size in sizes]
    assert render.tier(rows) == tier
