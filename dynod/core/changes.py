"""What a person's wish turns into: each function checks one wish and returns the payloads to append together.

An empty tuple means that nothing would change. A wish that cannot be had raises Refused, and nothing has happened.
Ids come in as values or as `new_id`, times and revisions are the caller's, so every decision can be tested with literals.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from dynod.core.ledger import AppState, Ledger
from dynod.model.app import Account, AppName
from dynod.model.entry import AppCreated, Payload, ReleaseCreated
from dynod.model.formation import Formation, Scale
from dynod.model.release import BuildId, Release, ReleaseId, ReleaseStatus, Slug


def create_app(
    ledger: Ledger, name: AppName, owner: Account, stack: str, ids: Iterator[str]
) -> tuple[AppCreated, ReleaseCreated, ReleaseCreated]:
    """Make an app with its v1 and v2; two ids are drawn."""
    raise NotImplementedError


def rename_app(ledger: Ledger, state: AppState, name: AppName) -> tuple[Payload, ...]:
    raise NotImplementedError


def destroy_app(state: AppState) -> tuple[Payload, ...]:
    raise NotImplementedError


def set_maintenance(state: AppState, *, on: bool) -> tuple[Payload, ...]:
    raise NotImplementedError


def set_build_stack(state: AppState, stack: str, stacks: Sequence[str]) -> tuple[Payload, ...]:
    """Name the stack of the next build; `stacks` are those of this machine."""
    raise NotImplementedError


def set_buildpacks(state: AppState, urls: Sequence[str]) -> tuple[Payload, ...]:
    raise NotImplementedError


def set_feature(state: AppState, name: str, *, enabled: bool) -> tuple[Payload, ...]:
    raise NotImplementedError


def start_build(
    state: AppState, build_id: BuildId, commit: str, stack: str, buildpacks: Sequence[str]
) -> tuple[Payload, ...]:
    """One build of an app at a time."""
    raise NotImplementedError


def set_config(
    state: AppState, changes: Mapping[str, str | None], release_id: ReleaseId
) -> tuple[Payload, ...]:
    """Set and (None) remove config vars: one release."""
    raise NotImplementedError


def deploy(
    state: AppState, slug: Slug, description: str, release_id: ReleaseId, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """Release a slug."""
    raise NotImplementedError


def create_release(
    state: AppState, slug: Slug, description: str | None, release_id: ReleaseId, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """Release a slug as the API does; without a description it says `Deploy 1a2b3c4d`."""
    raise NotImplementedError


def rollback(
    state: AppState, target: Release, release_id: ReleaseId, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """Make a new release of an old one's slug and config."""
    raise NotImplementedError


def settle_release(
    state: AppState, release_id: ReleaseId, status: ReleaseStatus, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """End a release phase; a release that succeeds takes effect."""
    raise NotImplementedError


def scaled(state: AppState, changes: Sequence[Scale]) -> tuple[Formation, ...]:
    """The whole formation as it would be."""
    raise NotImplementedError


def scale(state: AppState, changes: Sequence[Scale]) -> tuple[Payload, ...]:
    raise NotImplementedError
