"""Which certificates are due when, and how failures are said."""

from core.test_domains import D1, E1, certificate, told
from ledger_samples import Story, drawer

from dynod.core import acme, domains
from dynod.core.acme import FIRST_PAUSE, GIVEN_UP, LONGEST_PAUSE, Attempt


def due(story, attempts=None):
    found = acme.wanted(story.ledger.apps.values(), attempts or {})
    return {each.domain.hostname: each.due for each in found}


def test_only_apps_that_want_it_and_names_that_can_be_proven():
    story = told("www.example.com", "*.example.com", "own.example.org")
    assert due(story) == {}
    story.tell(domains.add_endpoint(story.state, certificate("own.example.org"), E1, drawer("n")))
    story.tell(domains.set_acm(story.state, on=True))
    assert due(story) == {"www.example.com": 0.0}
    assert due(story, {D1: Attempt(1, 77.0, "why")}) == {"www.example.com": 77.0}
    assert due(story, {D1: Attempt(busy=True)}) == {}


def test_a_certificate_is_renewed_at_two_thirds_of_its_life():
    story = told("www.example.com")
    story.tell(domains.set_acm(story.state, on=True))
    made = certificate("www.example.com", end=90.0)
    story.tell(domains.fetched(story.state, story.state.domains[0], made, E1, drawer("n")))
    assert due(story) == {"www.example.com": 60.0}
    assert due(story, {D1: Attempt(2, 75.0)}) == {"www.example.com": 75.0}


def test_pauses_double_up_to_a_day():
    attempt, at, pauses = Attempt(), 0.0, []
    for _ in range(10):
        attempt = acme.after_failure(attempt, "no", at)
        pauses.append(attempt.due - at)
        at = attempt.due
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE]
    assert pauses[-1] == LONGEST_PAUSE
    assert pauses == sorted(pauses)


def test_a_certificate_that_is_due_as_it_comes_is_not_fetched_over_and_over():
    made = certificate("www.example.com", end=90.0)
    assert acme.after_success(made, 59.0) is None
    waits = acme.after_success(made, 60.0)
    assert (waits.due, acme.status(waits)) == (60.0 + LONGEST_PAUSE, ("pending", ""))


def test_how_it_stands_in_herokus_words():
    assert acme.status(None) == ("pending", "")
    assert acme.status(Attempt(busy=True)) == ("verified", "")
    assert acme.status(Attempt(1, reason="no such host")) == ("failing", "no such host")
    assert acme.status(Attempt(GIVEN_UP, reason="no")) == ("failed", "no")
    assert Story().state.app.acm is False
