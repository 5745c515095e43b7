"""Payloads and ledgers to bytes and back, and what old and newer programs wrote."""

from dataclasses import make_dataclass, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from ledger_samples import NAME, OWNER, slug
from ledger_wishes import told, wishes
from store_conformance import full_story

from dynod.core.ledger import Ledger, fold
from dynod.model.app import AppName
from dynod.model.domain import Certificate, DomainId, EndpointId, Hostname
from dynod.model.entry import (
    AcmSet,
    AppCreated,
    AppDestroyed,
    AppRenamed,
    BuildpacksSet,
    BuildSettled,
    BuildStackSet,
    BuildStarted,
    DomainAdded,
    DomainEndpointSet,
    DomainRemoved,
    EndpointRemoved,
    EndpointSet,
    FeatureSet,
    FormationSet,
    MaintenanceSet,
    Payload,
    ReleaseCreated,
    ReleaseSettled,
    SlugAdded,
)
from dynod.model.formation import DEFAULT_SIZE, MIB, SIZES, WEB, DynoSize, Formation, offer
from dynod.model.release import BuildId, BuildStatus, ReleaseId, ReleaseStatus, SlugId
from dynod.store import codec
from dynod.store.protocol import Unreadable

# What lies on people's disks: a line here may be added, never changed.
WRITTEN = [
    (
        AppCreated(NAME, OWNER, "debian-12"),
        '[1,{"name":"demo","owner":{"id":"u1","email":"e@x"},"stack":"debian-12"}]',
    ),
    (AppRenamed(AppName("other")), '[1,{"name":"other"}]'),
    (AppDestroyed(), "[1,{}]"),
    (MaintenanceSet(on=False), '[1,{"on":false}]'),
    (BuildStackSet("debian-13"), '[1,{"stack":"debian-13"}]'),
    (BuildpacksSet(("a", "b")), '[1,{"urls":["a","b"]}]'),
    (FeatureSet("preboot", enabled=True), '[1,{"name":"preboot","enabled":true}]'),
    (
        SlugAdded(replace(slug(web="sérve"), sha256="ff")),
        (
            '[1,{"slug":{"id":"s1","sha256":"ff","size":1000,"commit":"1a2b3c4d5e6f","commit_description":"first",'
            '"process_types":{"web":"sérve"},"stack":"debian-12","buildpack":"Python","created_at":5.0}}]'
        ),
    ),
    (
        BuildStarted(BuildId("b1"), "c0ffee", "debian-12", ()),
        '[1,{"id":"b1","commit":"c0ffee","stack":"debian-12","buildpacks":[]}]',
    ),
    (
        BuildSettled(BuildId("b1"), BuildStatus.FAILED, None, None),
        '[1,{"id":"b1","status":"failed","slug":null,"release":null,"detected":""}]',
    ),
    (
        ReleaseCreated(
            ReleaseId("r1"), 3, "why", ReleaseStatus.PENDING, SlugId("s1"), {"A": "1"}, phase=True
        ),
        '[1,{"id":"r1","version":3,"description":"why","status":"pending","slug":"s1","config":{"A":"1"},"phase":true}]',
    ),
    (ReleaseSettled(ReleaseId("r1"), ReleaseStatus.EXPIRED), '[1,{"id":"r1","status":"expired"}]'),
    (
        FormationSet((Formation("f1", WEB, 2, DEFAULT_SIZE, "serve"),)),
        '[1,{"rows":[{"id":"f1","type":"web","quantity":2,"size":"Standard-1X","command":"serve"}]}]',
    ),
    (DomainAdded(DomainId("d1"), Hostname("*.example.com")), '[1,{"id":"d1","hostname":"*.example.com"}]'),
    (DomainRemoved(DomainId("d1")), '[1,{"id":"d1"}]'),
    (DomainEndpointSet(DomainId("d1"), None), '[1,{"id":"d1","endpoint":null}]'),
    (
        EndpointSet(
            EndpointId("e1"),
            "n",
            Certificate("C", "K", ("a.example.com",), 1.0, 2.0, "/CN=i", "/CN=s"),
            acm=True,
        ),
        (
            '[1,{"id":"e1","name":"n","certificate":{"chain":"C","key":"K","domains":["a.example.com"],"starts_at":1.0,'
            '"expires_at":2.0,"issuer":"/CN=i","subject":"/CN=s","self_signed":false},"acm":true}]'
        ),
    ),
    (EndpointRemoved(EndpointId("e1")), '[1,{"id":"e1"}]'),
    (AcmSet(on=True), '[1,{"on":true}]'),
]


@pytest.mark.parametrize(("payload", "text"), WRITTEN)
def test_what_is_written_for_ever(payload, text) -> None:
    assert codec.encode(payload) == (type(payload).__name__, text.encode())
    assert codec.decode(type(payload).__name__, text.encode()) == payload


def test_every_kind_is_written_down_above() -> None:
    assert {type(payload) for payload, _ in WRITTEN} == set(get_args(Payload))


def test_a_field_that_came_later_takes_its_default() -> None:
    old = b'[1,{"id":"b1","status":"failed","slug":null,"release":null}]'
    assert codec.decode("BuildSettled", old) == BuildSettled(BuildId("b1"), BuildStatus.FAILED, None, None)


def test_whole_numbers_are_times_too() -> None:
    """Another program may write 5 for 5.0."""
    _, data = codec.encode(SlugAdded(slug()))
    found = codec.decode("SlugAdded", data.replace(b"5.0}", b"5}"))
    assert isinstance(found.slug.created_at, float)


def test_text_that_no_utf8_holds_comes_back() -> None:
    """Commit messages are what they are."""
    payload = SlugAdded(replace(slug(), commit_description="bad \udcff byte"))
    assert codec.decode(*codec.encode(payload)) == payload


@pytest.fixture
def mega():
    """A size of somebody's dynod.toml."""
    size = DynoSize("Mega", 7 * MIB, 3, 99, 5, 0)
    yield size
    SIZES.pop("mega", None)


def test_a_size_of_ones_own_is_what_dynod_toml_says_now_and_else_what_it_was(mega) -> None:
    asked = FormationSet((Formation("f1", WEB, 2, mega, "serve"),))
    kind, data = codec.encode(asked)
    assert codec.decode(kind, data) == asked
    offer([replace(mega, memory=9 * MIB)])
    assert codec.decode(kind, data).rows[0].size.memory == 9 * MIB
    offer([mega])  # what is in the table stays
    assert codec.decode(kind, data).rows[0].size.memory == 9 * MIB


UNREADABLE = [
    ("Nonsense", b"[1,{}]", "an entry of kind 'Nonsense': it is not known here; a newer dynod wrote it"),
    ("AppDestroyed", b"[2,{}]", "an entry of kind AppDestroyed in form 2: a newer dynod wrote it"),
    (
        "AppDestroyed",
        b'[1,{"why":1}]',
        "an entry of kind AppDestroyed: AppDestroyed has why: a newer dynod wrote it",
    ),
    ("FeatureSet", b"[1,{}]", "an entry of kind FeatureSet: FeatureSet lacks enabled, name"),
    (
        "MaintenanceSet",
        b'[1,{"on":1}]',
        "an entry of kind MaintenanceSet: expected <class 'bool'>, found int",
    ),
    (
        "AppRenamed",
        b'[1,{"name":null}]',
        "an entry of kind AppRenamed: expected <class 'str'>, found NoneType",
    ),
    (
        "BuildpacksSet",
        b'[1,{"urls":"ab"}]',
        "an entry of kind BuildpacksSet: expected <class 'list'>, found str",
    ),
    (
        "ReleaseSettled",
        b'[1,{"id":"r","status":"odd"}]',
        "an entry of kind ReleaseSettled: 'odd' is not a valid ReleaseStatus",
    ),
    (
        "ReleaseCreated",
        b'[1,{"id":"r","version":true,"description":"","status":"failed","slug":null,"config":{}}]',
        "an entry of kind ReleaseCreated: expected <class 'int'>, found bool",
    ),
    (
        "FormationSet",
        b'[1,{"rows":[{"id":"f","type":"web","quantity":1,"size":"Mega","command":""}]}]',
        "an entry of kind FormationSet: cannot find dyno size 'Mega'",
    ),
    (
        "ReleaseCreated",
        b'[1,{"id":"r","version":1,"description":"","status":"failed","slug":null,"config":{"A":1}}]',
        "an entry of kind ReleaseCreated: expected text, found ['int']",
    ),
    ("AppDestroyed", b"[1,[]]", "an entry of kind AppDestroyed: expected <class 'dict'>, found list"),
    ("AppDestroyed", b"[1]", "an entry of kind AppDestroyed: not enough values to unpack"),
    ("AppDestroyed", b"7", "an entry of kind AppDestroyed: cannot unpack non-iterable int object"),
    ("AppDestroyed", b"[1,", "an entry of kind AppDestroyed: Expecting value"),
    ("AppDestroyed", b"\xff", "an entry of kind AppDestroyed: "),
]


@pytest.mark.parametrize(("kind", "data", "text"), UNREADABLE)
def test_what_cannot_be_read(kind, data, text) -> None:
    with pytest.raises(Unreadable) as caught:
        codec.decode(kind, data)
    assert str(caught.value).startswith(f"cannot read {text}")


def test_a_whole_ledger() -> None:
    _, ledger = full_story()
    assert codec.decode_ledger(codec.encode_ledger(ledger)) == ledger
    assert codec.decode_ledger(codec.encode_ledger(Ledger())) == Ledger()


@pytest.mark.parametrize("data", [b"", b"nonsense", codec.zlib.compress(b"{"), codec.zlib.compress(b"[]")])
def test_no_ledger(data) -> None:
    with pytest.raises(Unreadable, match="cannot read a snapshot of the ledger: "):
        codec.decode_ledger(data)


def test_the_shape_names_every_field_down_to_the_last() -> None:
    """A class that gains a field, however deep, is another shape: snapshots without it are not used."""
    shape = codec._shape(Ledger)
    for name in (
        "revision",
        "detected_buildpack",
        "process_types",
        "buildpacks",
        "quantity",
        "phase",
        "email",
    ):
        assert f"{name}:" in shape
    assert codec.ledger_shape().startswith("1.1.")


def test_a_field_more_is_another_shape() -> None:
    small, grown = (make_dataclass("Row", fields) for fields in ([("a", int)], [("a", int), ("b", str)]))
    assert codec._shape(tuple[small, ...]) != codec._shape(tuple[grown, ...])


@settings(max_examples=50, deadline=None)
@given(wishes)
def test_a_snapshot_and_its_tail_are_the_whole_replay(wanted) -> None:
    """At whatever entry the snapshot was made, and through the codec both ways."""
    found = told(wanted)
    entries = [entry for told_together, _ in found for entry in told_together]
    for _, ledger in found[::7]:
        again = codec.decode_ledger(codec.encode_ledger(ledger))
        for entry in entries[again.revision :]:
            again = fold(again, replace(entry, payload=codec.decode(*codec.encode(entry.payload))))
        assert again == found[-1][1]
