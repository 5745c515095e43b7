"""Random wishes for hypothesis, and what each appends to a ledger (nothing, where it cannot be had)."""

from functools import reduce

from hypothesis import strategies as st
from ledger_samples import OWNER, drawer, ids, slug

from dynod.core import changes, domains
from dynod.core.ledger import AppState, Ledger, fold
from dynod.model.app import AppId, AppName
from dynod.model.domain import Certificate, DomainId, EndpointId, hostname
from dynod.model.entry import BuildSettled, Entry, Payload
from dynod.model.formation import SIZES, Scale, process_type
from dynod.model.refused import Refused
from dynod.model.release import BuildId, BuildStatus, ReleaseId, ReleaseStatus

APPS = [AppId("a1"), AppId("a2"), AppId("a3")]
NAMES = [AppName("one"), AppName("two"), AppName("three")]
TYPES = [process_type(name) for name in ("web", "worker", "release")]
SLUGS = [
    slug("s1", web="serve"),
    slug("s2", web="serve", worker="work"),
    slug("s3", stack="debian-13", web="serve", release="migrate"),
    slug("s4", worker="work"),
]
HOSTS = [hostname(name) for name in ("www.example.com", "*.example.com", "example.org")]


def _certificate(name: str) -> Certificate:
    return Certificate("chain", "key", (name,), 1.0, 2.0, "/CN=i", "/CN=s")


index = st.integers(0, 5)
values = st.sampled_from(["", "1", "two\nlines", "ü"])
wishes = st.lists(
    st.tuples(
        st.sampled_from([APPS[0]] * 5 + APPS),
        st.one_of(
            st.tuples(st.just("create"), st.sampled_from(NAMES)),
            st.tuples(st.just("rename"), st.sampled_from(NAMES)),
            st.tuples(st.just("destroy"), st.sampled_from([False, False, False, True])),
            st.tuples(st.just("maintain"), st.booleans()),
            st.tuples(st.just("stack"), st.sampled_from(["debian-12", "debian-13"])),
            st.tuples(st.just("packs"), st.lists(values, max_size=2)),
            st.tuples(st.just("feature"), values, st.booleans()),
            st.tuples(st.just("build")),
            st.tuples(st.just("domain"), st.sampled_from(HOSTS)),
            st.tuples(st.just("undomain"), index),
            st.tuples(st.just("certificate"), st.sampled_from(HOSTS)),
            st.tuples(st.just("uncertificate"), index),
            st.tuples(st.just("acm"), st.booleans()),
            st.tuples(st.just("fetched"), index),
            st.tuples(st.just("built"), st.sampled_from(BuildStatus)),
            st.tuples(
                st.just("config"),
                st.dictionaries(st.sampled_from(["A", "B", "__C"]), st.none() | values, max_size=3),
            ),
            st.tuples(st.just("deploy"), st.sampled_from(SLUGS)),
            st.tuples(st.just("deploy"), st.just(SLUGS[2])),
            st.tuples(st.just("rollback"), index),
            st.tuples(st.just("settle"), st.sampled_from([ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED])),
            st.tuples(
                st.just("scale"),
                st.sampled_from(TYPES),
                st.sampled_from([None, "0", "1", "+3", "-1", "99"]),
                st.sampled_from([None, *SIZES.values()]),
            ),
        ),
    ),
    min_size=25,
    max_size=60,
)


def granted(ledger: Ledger, app: AppId, wish: tuple, new_id) -> tuple[Payload, ...]:
    """What a wish appends; nothing where it is refused or has no app."""
    state = ledger.apps.get(app)
    match state, wish:
        case None, ("create", name):
            return changes.create_app(ledger, name, OWNER, "debian-12", ids(f"{new_id()}-"))
        case AppState(), (what, *more) if what != "create":
            return _granted(ledger, state, what, more, new_id)
    return ()


def _granted(ledger: Ledger, state: AppState, what: str, more: list, new_id) -> tuple[Payload, ...]:
    match what, *more:
        case "rename", name:
            return changes.rename_app(ledger, state, name)
        case "destroy", True:
            return changes.destroy_app(state)
        case "maintain", on:
            return changes.set_maintenance(state, on=on)
        case "stack", stack:
            return changes.set_build_stack(state, stack, ["debian-12", "debian-13"])
        case "packs", urls:
            return changes.set_buildpacks(state, urls)
        case "feature", name, enabled:
            return changes.set_feature(state, name, enabled=enabled)
        case "domain", name:
            return domains.add_domain(ledger, state, name, None, DomainId(new_id()), "localhost")
        case "undomain", number if state.domains:
            return domains.remove_domain(state, state.domains[number % len(state.domains)])
        case "certificate", name:
            return domains.add_endpoint(state, _certificate(name), EndpointId(new_id()), new_id)
        case "uncertificate", number if state.endpoints:
            return domains.remove_endpoint(state, state.endpoints[number % len(state.endpoints)].id)
        case "acm", on:
            return domains.set_acm(state, on=on)
        case "fetched", number if state.domains:
            domain = state.domains[number % len(state.domains)]
            return domains.fetched(state, domain, _certificate(domain.hostname), EndpointId(new_id()), new_id)
        case ("build",):
            return changes.start_build(state, BuildId(new_id()), "c0ffee", "debian-12", ["x"])
        case "built", status:
            pending = [build for build in state.builds if build.status is BuildStatus.PENDING]
            return tuple(BuildSettled(build.id, status, None, None, new_id()) for build in pending)
        case "config", wanted:
            return changes.set_config(state, wanted, ReleaseId(new_id()))
        case "deploy", which:
            return changes.deploy(state, which, "Deploy", ReleaseId(new_id()), new_id)
        case "rollback", number:
            target = state.releases[number % len(state.releases)]
            return changes.rollback(state, target, ReleaseId(new_id()), new_id)
        case "settle", status if state.pending is not None:
            return changes.settle_release(state, state.pending.id, status, new_id)
        case "scale", type_, quantity, size:
            return changes.scale(state, [Scale(type_, quantity, size)])
    return ()


def told(wanted: list[tuple]) -> list[tuple[list[Entry], Ledger]]:
    """What each wish came to: its entries, and the ledger after them. The first app is there from the start."""
    ledger, new_id, found = Ledger(), drawer("x"), []
    for app, wish in [(APPS[0], ("create", NAMES[0])), *wanted]:
        try:
            payloads = granted(ledger, app, wish, new_id)
        except Refused:
            continue
        entries = [
            Entry(revision, app, "e@x", revision / 2, payload)
            for revision, payload in enumerate(payloads, ledger.revision + 1)
        ]
        ledger = reduce(fold, entries, ledger)
        found.append((entries, ledger))
    return found
