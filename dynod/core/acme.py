"""When which domain's certificate is to be fetched: at once, at two thirds of its life, or some time after a failure. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dynod.core.ledger import AppState
from dynod.model.app import AppId
from dynod.model.domain import Certificate, Domain, DomainId

FIRST_PAUSE = 600.0  # seconds after the first failure; it doubles
LONGEST_PAUSE = 86_400.0  # Let's Encrypt allows five failures per name and hour
GIVEN_UP = 6  # failures in a row after which `failing` is `failed`; it is still tried, once a day


@dataclass(frozen=True, slots=True)
class Attempt:
    """What became of a domain so far. `due`: not before this moment; `busy`: it is being fetched."""

    failures: int = 0
    due: float = 0.0
    reason: str = ""
    busy: bool = False


@dataclass(frozen=True, slots=True)
class Wanted:
    """A certificate to fetch for a domain, at `due`."""

    app: AppId
    domain: Domain
    due: float


def renewal(certificate: Certificate) -> float:
    """Two thirds of its life."""
    return certificate.starts_at + (certificate.expires_at - certificate.starts_at) * 2 / 3


def after_failure(before: Attempt, reason: str, now: float) -> Attempt:
    """Say when to try again."""
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2**before.failures)
    return Attempt(before.failures + 1, now + pause, reason)


def after_success(certificate: Certificate, now: float) -> Attempt | None:
    """One that would be due again at once (it lives shorter than our clock and the authority's differ) waits as after failures."""
    return Attempt(due=now + LONGEST_PAUSE) if renewal(certificate) <= now else None


def status(attempt: Attempt | None) -> tuple[str, str]:
    """Say how it stands with a domain that has no certificate yet, in Heroku's words."""
    if attempt is None or not attempt.failures:
        return "verified" if attempt is not None and attempt.busy else "pending", ""
    return "failed" if attempt.failures >= GIVEN_UP else "failing", attempt.reason


def wanted(apps: Iterable[AppState], attempts: Mapping[DomainId, Attempt]) -> Iterator[Wanted]:
    """Give every domain whose certificate is ours to fetch. Wildcards are not: HTTP-01 cannot prove them."""
    for state in apps:
        if not state.app.acm:
            continue
        endpoints = {each.id: each for each in state.endpoints}
        for domain in state.domains:
            shown = None if domain.endpoint is None else endpoints[domain.endpoint]
            attempt = attempts.get(domain.id, Attempt())
            if domain.wildcard or attempt.busy or (shown is not None and not shown.acm):
                continue
            due = 0.0 if shown is None else renewal(shown.certificate)
            yield Wanted(state.app.id, domain, max(due, attempt.due))
