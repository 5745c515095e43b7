"""What a person's wish turns into: each function checks one wish and returns the payloads to append together.

An empty tuple means that nothing would change. A wish that cannot be had raises Refused, and nothing has happened.
Ids come in as values or as `new_id`, times and revisions are the caller's, so every decision can be tested with literals.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from dynod.core import config_vars, scaling
from dynod.core.ledger import AppState, Ledger
from dynod.model.app import Account, AppName
from dynod.model.entry import (
    AppCreated,
    AppDestroyed,
    AppRenamed,
    BuildpacksSet,
    BuildSettled,
    BuildStackSet,
    BuildStarted,
    FeatureSet,
    FormationSet,
    MaintenanceSet,
    Payload,
    ReleaseCreated,
    ReleaseSettled,
    SlugAdded,
)
from dynod.model.formation import RELEASE, Formation, Scale
from dynod.model.refused import Refusal, Refused
from dynod.model.release import BuildId, BuildStatus, Release, ReleaseId, ReleaseStatus, Slug

_NO_ROLLBACK = {
    ReleaseStatus.PENDING: "it has not ended yet",
    ReleaseStatus.FAILED: "it failed and never ran; choose one that succeeded",
    ReleaseStatus.EXPIRED: "it has expired and its slug is gone; choose a newer one",
}


# -- apps --------------------------------------------------------------------------------------------------------


def create_app(
    ledger: Ledger, name: AppName, owner: Account, stack: str, ids: Iterator[str]
) -> tuple[AppCreated, ReleaseCreated, ReleaseCreated]:
    """Make an app with its v1 and v2; two ids are drawn."""
    _check_free(ledger, name, f"cannot create app {name}")
    first, second = (
        ReleaseCreated(ReleaseId(next(ids)), version, description, ReleaseStatus.SUCCEEDED, None, {})
        for version, description in ((1, "Initial release"), (2, "Enable Logplex"))
    )
    return AppCreated(name, owner, stack), first, second


def rename_app(ledger: Ledger, state: AppState, name: AppName) -> tuple[Payload, ...]:
    """Give an app another name; the old one is free at once."""
    if name == state.app.name:
        return ()
    _check_free(ledger, name, f"cannot rename app {state.app.name} to {name}")
    return (AppRenamed(name),)


def _check_free(ledger: Ledger, name: AppName, what: str) -> None:
    if name in ledger.names:
        raise Refused(Refusal.INVALID, f"{what}: the name is already taken; choose another")


def destroy_app(state: AppState) -> tuple[Payload, ...]:
    """An app can always be destroyed, also while it builds or releases."""
    del state
    return (AppDestroyed(),)


def set_maintenance(state: AppState, *, on: bool) -> tuple[Payload, ...]:
    """Make the router answer for the app; dynos run on, there is no release."""
    return (MaintenanceSet(on),) if on != state.app.maintenance else ()


def set_build_stack(state: AppState, stack: str, stacks: Sequence[str]) -> tuple[Payload, ...]:
    """Name the stack of the next build; `stacks` are those of this machine."""
    if stack not in stacks:
        raise Refused(
            Refusal.INVALID,
            f"cannot use stack {stack!r} for app {state.app.name}: there are {', '.join(stacks)}",
        )
    return (BuildStackSet(stack),) if stack != state.app.build_stack else ()


def update_app(
    ledger: Ledger,
    state: AppState,
    stacks: Sequence[str],
    *,
    name: AppName | None,
    stack: str | None,
    maintenance: bool | None,
) -> tuple[Payload, ...]:
    """Change what is named, all of it or nothing."""
    return (
        *(() if name is None else rename_app(ledger, state, name)),
        *(() if stack is None else set_build_stack(state, stack, stacks)),
        *(() if maintenance is None else set_maintenance(state, on=maintenance)),
    )


def set_buildpacks(state: AppState, urls: Sequence[str]) -> tuple[Payload, ...]:
    """Name the buildpacks of the next build, in order; none means that one is detected."""
    return (BuildpacksSet(tuple(urls)),) if tuple(urls) != state.app.buildpacks else ()


def set_feature(state: AppState, name: str, *, enabled: bool) -> tuple[Payload, ...]:
    return (FeatureSet(name, enabled),) if enabled != state.features.get(name, False) else ()


def start_build(
    state: AppState, build_id: BuildId, commit: str, stack: str, buildpacks: Sequence[str]
) -> tuple[Payload, ...]:
    """One build of an app at a time."""
    if any(build.status is BuildStatus.PENDING for build in state.builds):
        raise Refused(
            Refusal.CONFLICT,
            f"cannot build app {state.app.name}: another build of it is running; try again when it has ended",
        )
    return (BuildStarted(build_id, commit, stack, tuple(buildpacks)),)


def fail_build(state: AppState | None, build_id: BuildId) -> tuple[Payload, ...]:
    """End a build without a release, if it has not ended and its app is still there."""
    known = () if state is None else state.builds
    pending = any(build.id == build_id and build.status is BuildStatus.PENDING for build in known)
    return (BuildSettled(build_id, BuildStatus.FAILED, None, None),) if pending else ()


# -- releases ----------------------------------------------------------------------------------------------------


def set_config(
    state: AppState, changes: Mapping[str, str | None], release_id: ReleaseId
) -> tuple[Payload, ...]:
    """Set and (None) remove config vars: one release."""
    found = config_vars.changed(state.config, changes)
    if found is None:
        return ()
    config, description = found
    slug = state.slug_of(state.deployed)
    return (_release(state, release_id, description, slug, config),)


def deploy(
    state: AppState, slug: Slug, description: str, release_id: ReleaseId, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """Release a slug."""
    added = () if slug.id in state.slugs else (SlugAdded(slug),)
    release = _release(state, release_id, description, slug, state.config)
    return (*added, release, *_taking_effect(state, release.status, slug, new_id))


def create_release(
    state: AppState, slug: Slug, description: str | None, release_id: ReleaseId, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """Release a slug as the API does; without a description it says `Deploy 1a2b3c4d`."""
    return deploy(state, slug, description or deploy_description(slug.commit), release_id, new_id)


def deploy_description(commit: str) -> str:
    """`Deploy 1a2b3c4d`; `Deploy` alone where there is no commit."""
    return f"Deploy {commit[:8]}".rstrip()


def rollback(
    state: AppState, target: Release, release_id: ReleaseId, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """Make a new release of an old one's slug and config."""
    what = f"cannot roll back app {state.app.name} to v{target.version}"
    found = next((release for release in state.releases if release.id == target.id), None)
    if found is None:
        raise Refused(Refusal.NOT_FOUND, f"{what}: it has no such release")
    if why := no_rollback(found):
        raise Refused(Refusal.INVALID, f"{what}: {why}")
    slug = state.slug_of(found)
    release = _release(state, release_id, f"Rollback to v{found.version}", slug, found.config)
    return (release, *_taking_effect(state, release.status, slug, new_id))


def no_rollback(release: Release) -> str:
    """Why no app can be taken back to this release; '' if one can."""
    if release.status is not ReleaseStatus.SUCCEEDED:
        return _NO_ROLLBACK[release.status]
    return "nothing was deployed yet; choose one that has a slug" if release.slug is None else ""


def settle_release(
    state: AppState, release_id: ReleaseId, status: ReleaseStatus, new_id: Callable[[], str]
) -> tuple[Payload, ...]:
    """End a release phase; a release that succeeds takes effect."""
    found = state.pending
    if found is None or found.id != release_id:
        raise Refused(
            Refusal.CONFLICT, f"cannot end release {release_id} of app {state.app.name}: it is not pending"
        )
    return (
        ReleaseSettled(release_id, status),
        *_taking_effect(state, status, state.slug_of(found), new_id),
    )


def _release(
    state: AppState, id_: ReleaseId, description: str, slug: Slug | None, config: Mapping[str, str]
) -> ReleaseCreated:
    """The next version; it waits for its release phase if its slug declares one (HEROKU.md 2.1)."""
    if state.pending is not None:
        raise Refused(
            Refusal.CONFLICT,
            f"cannot release app {state.app.name}: v{state.pending.version} is still running its release command; "
            "try again when it has ended",
        )
    phase = slug is not None and RELEASE in slug.process_types
    return ReleaseCreated(
        id=id_,
        version=state.next_version,
        description=description,
        status=ReleaseStatus.PENDING if phase else ReleaseStatus.SUCCEEDED,
        slug=None if slug is None else slug.id,
        config=config,
        phase=phase,
    )


def _taking_effect(
    state: AppState, status: ReleaseStatus, slug: Slug | None, new_id: Callable[[], str]
) -> tuple[FormationSet, ...]:
    if status is not ReleaseStatus.SUCCEEDED:
        return ()
    return _formation_set(state, scaling.after_deploy(state.formation, slug, new_id))


# -- formation ---------------------------------------------------------------------------------------------------


def scaled(state: AppState, changes: Sequence[Scale]) -> tuple[Formation, ...]:
    """The whole formation as it would be."""
    return scaling.after_scale(state.app.name, state.formation, changes)


def scale(state: AppState, changes: Sequence[Scale]) -> tuple[Payload, ...]:
    """Change quantities and sizes; this makes no release."""
    return _formation_set(state, scaled(state, changes))


def _formation_set(state: AppState, rows: tuple[Formation, ...]) -> tuple[FormationSet, ...]:
    return (FormationSet(rows),) if rows != state.formation else ()
