"""Which certificate is shown for which name, and when routers are told of another table."""

import datetime as dt
import os

import pytest
from core.test_domains import E1, certificate, told
from cryptography import x509
from ledger_samples import drawer

from dynod.core import changes, domains
from dynod.core.lifecycle import Now
from dynod.engine.certs import RENEW, Certs
from dynod.model.app import AppName

START = 1_800_000_000.0


@pytest.fixture
def published(tmp_path, monkeypatch):
    """Make Certs of a story; what it publishes is in `tables`, and `at[0]` is what time it is."""
    os.makedirs(tmp_path / "secrets", mode=0o700)
    at, tables = [START], []
    monkeypatch.setattr("dynod.engine.certs.clock.now", lambda: Now(0.0, at[0]))
    return lambda story, domain: Certs(str(tmp_path), domain, lambda: story.ledger, tables.append), tables, at


def names(served):
    found = x509.load_pem_x509_certificate(served.chain.encode())
    return found, found.extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    ).value.get_values_for_type(x509.DNSName)


def test_an_apps_own_name_has_a_certificate_that_clients_take(published):
    make, tables, _ = published
    make(told(), "localhost").look()  # no client takes *.localhost
    (table,) = tables
    assert names(table.served[table.hosts["demo.localhost"]])[1] == ["demo.localhost"]
    make(told(), "apps.example.com").look()
    assert (tables[1].hosts, names(tables[1].served[0])[1]) == (
        {},
        ["apps.example.com", "*.apps.example.com"],
    )


def test_a_name_that_is_an_apps_no_more_is_forgotten(published):
    make, tables, _ = published
    story = told()
    certs = make(story, "localhost")
    for name in ("demo", "other", "demo"):
        story.tell(changes.rename_app(story.ledger, story.state, AppName(name)))
        certs.look()
    first, _, last = (
        names(table.served[table.hosts[f"{app}.localhost"]])[0]
        for app, table in zip(("demo", "other", "demo"), tables, strict=True)
    )
    assert first.serial_number != last.serial_number
    assert tables[0].served[0] == tables[2].served[0]  # that of all names


def test_a_domain_may_be_longer_than_a_common_name(published):
    make, tables, _ = published
    domain = f"{'a' * 60}.example.com"
    make(told(), domain).look()
    assert names(tables[0].served[0])[1] == [domain, f"*.{domain}"]


def test_a_domain_shows_its_endpoints_certificate_and_one_without_is_not_named(published):
    make, tables, _ = published
    story = told("www.example.com", "*.example.com", "www.example.org")
    story.tell(domains.add_endpoint(story.state, certificate("*.example.com"), E1, drawer("n")))
    make(story, "apps.example.net").look()
    (table,) = tables
    assert set(table.hosts) == {"www.example.com", "*.example.com"}
    assert {table.served[each].chain for each in table.hosts.values()} == {"chain"}


def test_routers_are_told_of_news_alone(published):
    make, tables, _ = published
    certs = make(told(), "localhost")
    certs.look()
    certs.look()
    certs.challenge("token", "answer")
    certs.answered("token")
    certs.answered("token")
    assert [dict(table.challenges) for table in tables] == [{}, {"token": "answer"}, {}]
    generations = [table.generation for table in tables]
    assert generations == sorted(set(generations))
    make(told(), "localhost").look()  # after a restart of the control plane
    assert tables[-1].generation >= START * 1000


def test_our_own_certificates_are_made_anew_before_they_end(published):
    make, tables, at = published
    certs = make(told(), "localhost")
    certs.look()
    first = names(tables[0].served[0])[0]
    due = (first.not_valid_after_utc - RENEW).timestamp()
    at[0] = due - 1
    certs.look()
    assert len(tables) == 1
    at[0] = due
    certs.look()
    second = names(tables[1].served[0])[0]
    assert second.not_valid_after_utc - first.not_valid_after_utc > dt.timedelta(days=90)
