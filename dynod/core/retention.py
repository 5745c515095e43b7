"""What may be thrown away: old releases expire, and what no release needs any more is named (HEROKU.md 2, row `expired`)."""

from collections.abc import Iterable

from dynod.core.ledger import AppState
from dynod.model.entry import ReleaseSettled
from dynod.model.release import ReleaseStatus

OLD = 30 * 24 * 3600.0  # seconds
KEPT = 20  # the newest releases never expire, however old


def expired(state: AppState, wall: float) -> tuple[ReleaseSettled, ...]:
    """Releases that are older than 30 days and more than 20 releases back; never the current one, nor one without a slug."""
    current = state.current
    return tuple(
        ReleaseSettled(release.id, ReleaseStatus.EXPIRED)
        for release in state.releases[:-KEPT]
        if release.status in {ReleaseStatus.SUCCEEDED, ReleaseStatus.FAILED}
        and release.slug is not None
        and release.created_at < wall - OLD
        and (current is None or release.id != current.id)
    )


def needed_slugs(states: Iterable[AppState], wall: float) -> frozenset[str]:
    """SHA-256 of every slug that a release still stands on, or that is so new that its release may be on the way."""
    needed = set()
    for state in states:
        live = {release.slug for release in state.releases if release.status is not ReleaseStatus.EXPIRED}
        for slug in state.slugs.values():
            if slug.id in live or slug.created_at > wall - OLD:
                needed.add(slug.sha256)
    return frozenset(needed)


def needed_outputs(states: Iterable[AppState], wall: float) -> frozenset[str]:
    """Ids of the builds and releases whose transcripts are kept: the newest of each app, and all of the last 30 days."""
    needed = set()
    for state in states:
        for rows in (state.builds, state.releases):
            recent = [row.id for row in rows if row.created_at > wall - OLD]
            needed |= {*recent, *(row.id for row in rows[-KEPT:])}
    return frozenset(needed)
