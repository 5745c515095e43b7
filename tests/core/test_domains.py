"""Names and certificates of apps: what may be had, what is appended for it, what the ledger then is."""

import pytest
from ledger_samples import APP, NAME, OWNER, Story, after, drawer, ids

from dynod.core import activity, changes, domains
from dynod.core.ledger import Corrupt, Ledger
from dynod.model.app import Account, AppId, AppName
from dynod.model.domain import MOST, Certificate, DomainId, EndpointId, covers, hostname
from dynod.model.entry import (
    AcmSet,
    DomainAdded,
    DomainEndpointSet,
    DomainRemoved,
    EndpointRemoved,
    EndpointSet,
    Entry,
)
from dynod.model.refused import Refused

WWW, STAR = hostname("www.example.com"), hostname("*.example.com")
D1, D2, E1, E2 = DomainId("d1"), DomainId("d2"), EndpointId("e1"), EndpointId("e2")


def certificate(*names, end=100.0):
    return Certificate("chain", "key", names, 0.0, end, "/CN=i", "/CN=s")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.example.com", "www.example.com"),
        (" WWW.Example.COM. ", "www.example.com"),
        ("*.example.com", "*.example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("*.straße.de", "*.xn--strae-oqa.de"),
        ("a-b.c--d.example", "a-b.c--d.example"),
    ],
)
def test_a_name_is_written_as_dns_does(text, name):
    assert hostname(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "", "com", "*.com", "localhost", "a..b", ".example.com", "a.*.com", "*", "*a.com", "**.a.com", "-a.com", "a-.com",
        "a_b.com", "127.0.0.1", "::1", "http://a.com", "a.com/x", "a.com:80", "a b.com", "a.com\n.b", "a\0.com", "x" * 64 + ".com",
        ".".join(["x" * 60] * 5), "ä" * 70 + ".com", "a\u2028b.com",
    ],
)  # fmt: skip
def test_what_is_no_name_is_refused(text):
    with pytest.raises(Refused, match="cannot use"):
        hostname(text)


@pytest.mark.parametrize(
    ("pattern", "name", "yes"),
    [
        ("www.example.com", "www.example.com", True),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("www.example.com", "*.example.com", False),
        ("*.com", "*.example.com", False),
    ],
)
def test_a_wildcard_covers_one_label(pattern, name, yes):
    assert covers(pattern, name) is yes


def told(*wishes):
    """A story with these domains added."""
    story = Story()
    for number, name in enumerate(wishes, 1):
        story.tell(add(story, name, id=f"d{number}"))
    return story


def add(story, name, shown=None, id="d1", own="localhost"):
    return domains.add_domain(story.ledger, story.state, hostname(name), shown, DomainId(id), own)


def test_a_name_is_added_found_and_taken_away():
    story = told("www.example.com")
    assert story.said == (DomainAdded(D1, WWW),)
    assert story.ledger.hostnames == {WWW: APP}
    found = domains.domain(story.state, "www.example.com")
    assert found is domains.domain(story.state, "d1")
    assert (found.endpoint, found.created_at) == (None, float(story.ledger.revision))
    story.tell(domains.remove_domain(story.state, found))
    assert story.said == (DomainRemoved(D1),)
    assert (story.ledger.hostnames, story.state.domains) == ({}, ())
    with pytest.raises(Refused, match="cannot find the domain d1 on demo"):
        domains.domain(story.state, "d1")


def second(story, owner=OWNER):
    """The story's ledger with another app in it."""
    made = changes.create_app(story.ledger, AppName("other"), owner, "debian-12", ids("second"))
    return after(story.ledger, made, AppId("a2"))


def test_a_name_belongs_to_one_app():
    story = told("www.example.com")
    with pytest.raises(Refused, match=r"cannot add www.example.com to app demo: it has it already"):
        add(story, "WWW.example.com")
    ledger = second(story)
    with pytest.raises(Refused, match="to app other: it belongs to another app; remove it there first"):
        domains.add_domain(ledger, ledger.apps[AppId("a2")], WWW, None, D2, "localhost")
    gone = after(ledger, changes.destroy_app(ledger.apps[APP]))
    assert gone.hostnames == {}
    assert domains.add_domain(gone, gone.apps[AppId("a2")], WWW, None, D2, "localhost")


@pytest.mark.parametrize("pair", [("*.example.com", "www.example.com"), ("www.example.com", "*.example.com")])
def test_a_wildcard_and_a_name_under_it_belong_to_one_owner(pair):
    story, name = told(pair[0]), hostname(pair[1])
    assert add(story, pair[1], id="d2")
    ours = second(story)
    assert domains.add_domain(ours, ours.apps[AppId("a2")], name, None, D2, "localhost")
    theirs = second(story, Account("u2", "s@x"))
    with pytest.raises(Refused, match="belongs to somebody else"):
        domains.add_domain(theirs, theirs.apps[AppId("a2")], name, None, D2, "localhost")


@pytest.mark.parametrize(
    "name", ["x.apps.example.com", "apps.example.com", "*.apps.example.com", "a.b.apps.example.com"]
)
def test_names_of_apps_themselves_are_not_given_away(name):
    with pytest.raises(Refused, match=r"names under apps.example.com are those of apps themselves"):
        add(Story(), name, own="apps.example.com")


def test_an_app_has_a_thousand_names_at_most():
    story = Story()
    for number in range(MOST):
        story.ledger = after(
            story.ledger, [DomainAdded(DomainId(f"d{number}"), hostname(f"h{number}.example.com"))]
        )
    with pytest.raises(Refused, match="it has 1000 domains; remove one first"):
        add(story, "www.example.com")


def with_endpoint(story, *names, id=E1, **more):
    return story.tell(domains.add_endpoint(story.state, certificate(*names, **more), id, drawer("name")))


def test_a_certificate_is_shown_for_what_it_covers_and_nothing_else():
    story = with_endpoint(told("www.example.com", "www.example.org"), "*.example.com")
    assert story.said == (
        EndpointSet(E1, "name1", certificate("*.example.com")),
        DomainEndpointSet(D1, E1),
    )
    assert [domain.endpoint for domain in story.state.domains] == [E1, None]
    with pytest.raises(
        Refused, match=r"cannot show name1 for www.example.org: its certificate is for \*.example.com only"
    ):
        domains.show(story.state, story.state.domains[1], "name1")
    assert domains.show(story.state, story.state.domains[0], "name1") == ()
    story.tell(domains.show(story.state, story.state.domains[0], None))
    assert story.state.domains[0].endpoint is None


def test_a_new_name_shows_the_certificate_that_lasts_longest():
    story = with_endpoint(with_endpoint(Story(), "www.example.com", end=5.0), "*.example.com", id=E2, end=9.0)
    assert add(story, "www.example.com") == (DomainAdded(D1, WWW), DomainEndpointSet(D1, E2))
    assert add(story, "www.example.com", "e1")[1] == DomainEndpointSet(D1, E1)
    assert add(story, "www.example.org") == (DomainAdded(D1, hostname("www.example.org")),)
    with pytest.raises(Refused, match="cannot find the SNI endpoint nobody on demo"):
        add(story, "www.example.com", "nobody")


def test_names_of_endpoints_are_drawn_until_one_is_free():
    story = with_endpoint(Story(), "a.example.com")
    draws = iter(["name1", "name1", "other"])
    (made,) = domains.add_endpoint(story.state, certificate("b.example.com"), E2, draws.__next__)
    assert made.name == "other"


def test_another_certificate_takes_the_place_of_one_if_it_covers_as_much():
    story = with_endpoint(told("www.example.com"), "www.example.com")
    with pytest.raises(Refused, match=r"it is not for www.example.com, which shows it"):
        domains.update_endpoint(story.state, "name1", certificate("a.example.com"))
    story.tell(domains.update_endpoint(story.state, "e1", certificate("*.example.com")))
    (endpoint,) = story.state.endpoints
    assert endpoint.certificate.domains == ("*.example.com",)
    assert endpoint.created_at < endpoint.updated_at
    story.tell(domains.remove_endpoint(story.state, "name1"))
    assert story.said == (DomainEndpointSet(D1, None), EndpointRemoved(E1))
    assert story.state.endpoints == ()


def fetched(story, id=E1, domain=0, end=100.0):
    return domains.fetched(
        story.state, story.state.domains[domain], certificate("www.example.com", end=end), id, drawer("acm")
    )


def test_a_certificate_that_was_fetched_lives_and_goes_with_its_domain():
    story = told("www.example.com")
    assert fetched(story) == ()  # nobody wants it any more
    story.tell(domains.set_acm(story.state, on=True))
    assert story.state.app.acm
    assert domains.set_acm(story.state, on=True) == ()
    story.tell(fetched(story))
    assert story.state.endpoints[0].acm
    story.tell(fetched(story, E2, end=200.0))
    (renewed,) = story.state.endpoints
    assert (renewed.id, renewed.certificate.expires_at) == (E1, 200.0)
    assert domains.remove_domain(story.state, story.state.domains[0]) == (
        DomainRemoved(D1),
        EndpointRemoved(E1),
    )
    story.tell(domains.set_acm(story.state, on=False))
    assert story.said == (AcmSet(on=False), DomainEndpointSet(D1, None), EndpointRemoved(E1))
    assert (story.state.endpoints, story.state.app.acm) == ((), False)


def test_a_certificate_of_ones_own_is_never_replaced_by_a_fetched_one():
    story = with_endpoint(told("www.example.com"), "www.example.com")
    story.tell(domains.set_acm(story.state, on=True))
    assert fetched(story, E2) == ()


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (DomainAdded(D2, WWW), "domain www.example.com is taken"),
        (DomainRemoved(D2), "domain d2 is not there"),
        (DomainEndpointSet(D2, None), "domain d2 is not there"),
        (DomainEndpointSet(D1, E2), "endpoint e2 is not there"),
        (EndpointRemoved(E1), "endpoint e1 is in use"),
    ],
)
def test_entries_that_cannot_be_are_no_ledger(payload, why):
    story = with_endpoint(told("www.example.com"), "www.example.com")
    with pytest.raises(Corrupt, match=why):
        after(story.ledger, [payload])
    app = AppId("a2") if isinstance(payload, DomainAdded) else APP
    if app != APP:
        with pytest.raises(Corrupt, match=why):
            after(second(story), [payload], app)


def test_a_renamed_app_keeps_its_domains():
    story = told("www.example.com")
    story.tell(changes.rename_app(story.ledger, story.state, AppName("newer")))
    assert story.ledger.hostnames == {WWW: APP}
    assert Ledger().hostnames == {}
    assert NAME not in story.ledger.names


def test_the_log_says_what_was_done():
    story, said = Story(), []
    for wish in (
        lambda: add(story, "www.example.com"),
        lambda: domains.add_endpoint(story.state, certificate("www.example.com"), E1, drawer("quiet-river-")),
        lambda: domains.update_endpoint(story.state, "e1", certificate("*.example.com")),
        lambda: domains.remove_endpoint(story.state, "e1"),
        lambda: domains.remove_domain(story.state, story.state.domains[0]),
        lambda: domains.set_acm(story.state, on=True),
    ):
        for payload in wish():
            before = story.state
            story.tell((payload,))
            said += activity.lines(Entry(1, APP, "e@x", 1.0, payload), before, story.state)
    assert said == [
        "Add domain www.example.com by user e@x",
        "Add SSL certificate quiet-river-1 for www.example.com by user e@x",
        "Update SSL certificate quiet-river-1 for *.example.com by user e@x",
        "Remove SSL certificate quiet-river-1 by user e@x",
        "Remove domain www.example.com by user e@x",
        "Enable automatic certificate management by user e@x",
    ]
