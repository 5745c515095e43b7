"""The state of everything, as a fold over the ledger's entries.

`fold` is the one way in: a ledger and its next entry give the next ledger. What may become an entry is decided in
core/changes.py; how entries and snapshots lie on a disk is store/'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import assert_never

from dynod.model.app import App, AppId, AppName
from dynod.model.domain import Domain, DomainId, Hostname, SniEndpoint
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
    Entry,
    FeatureSet,
    FormationSet,
    MaintenanceSet,
    ReleaseCreated,
    ReleaseSettled,
    SlugAdded,
)
from dynod.model.formation import Formation
from dynod.model.release import Build, BuildStatus, Release, ReleaseStatus, Slug, SlugId

MEANING = 1  # raise it when `fold` comes to mean something else: snapshots of another meaning are not used


class Corrupt(Exception):
    """The entries do not form a ledger: a gap, or an entry about something that never was. No request can cause it."""


@dataclass(frozen=True, slots=True)
class AppState:
    """One app, whole. `releases` and `builds` oldest first; `config` is what the next release starts from."""

    app: App
    config: Mapping[str, str] = field(default_factory=dict)
    releases: tuple[Release, ...] = ()
    slugs: Mapping[SlugId, Slug] = field(default_factory=dict)
    builds: tuple[Build, ...] = ()
    formation: tuple[Formation, ...] = ()
    features: Mapping[str, bool] = field(default_factory=dict)
    domains: tuple[Domain, ...] = ()
    endpoints: tuple[SniEndpoint, ...] = ()

    @property
    def current(self) -> Release | None:
        """The newest release that succeeded."""
        return next(
            (each for each in reversed(self.releases) if each.status is ReleaseStatus.SUCCEEDED), None
        )

    @property
    def deployed(self) -> Release | None:
        """The release that dynos run: the current one, unless it has no slug."""
        current = self.current
        return current if current is not None and current.slug is not None else None

    @property
    def pending(self) -> Release | None:
        """The release whose release phase is running."""
        return next((each for each in reversed(self.releases) if each.status is ReleaseStatus.PENDING), None)

    def slug_of(self, release: Release | None) -> Slug | None:
        """The slug that a release stands on; None for one that has none."""
        return None if release is None or release.slug is None else self.slugs[release.slug]

    @property
    def next_version(self) -> int:
        return self.releases[-1].version + 1 if self.releases else 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every app as of `revision`."""

    revision: int = 0
    apps: Mapping[AppId, AppState] = field(default_factory=dict)
    names: Mapping[AppName, AppId] = field(default_factory=dict)
    hostnames: Mapping[Hostname, AppId] = field(default_factory=dict)


def fold(ledger: Ledger, entry: Entry) -> Ledger:
    """Return the ledger after `entry`; raise Corrupt if it cannot come next."""
    if entry.revision != ledger.revision + 1:
        raise Corrupt(
            f"cannot fold revision {entry.revision} after revision {ledger.revision}: entries are missing"
        )
    before = ledger.apps.get(entry.app)
    after = _born(entry) if before is None else _changed(before, entry)
    apps, names = dict(ledger.apps), ledger.names
    if after is None:
        del apps[entry.app]
    else:
        apps[entry.app] = after
    if _name(before) != _name(after):
        names = _names(names, entry, _name(before), _name(after))
    hostnames = ledger.hostnames
    if _domains(before) is not _domains(after):
        hostnames = _hostnames(hostnames, entry, _domains(before), _domains(after))
    return Ledger(entry.revision, apps, names, hostnames)


def _domains(state: AppState | None) -> tuple[Domain, ...]:
    return () if state is None else state.domains


def _hostnames(
    known: Mapping[Hostname, AppId], entry: Entry, old: tuple[Domain, ...], new: tuple[Domain, ...]
) -> Mapping[Hostname, AppId]:
    gone = {domain.hostname for domain in old}
    kept = {name: app for name, app in known.items() if name not in gone}
    for domain in new:
        if domain.hostname in kept:
            raise _corrupt(entry, f"domain {domain.hostname} is taken")
        kept[domain.hostname] = entry.app
    return kept


def _name(state: AppState | None) -> AppName | None:
    return None if state is None else state.app.name


def _names(
    names: Mapping[AppName, AppId], entry: Entry, old: AppName | None, new: AppName | None
) -> Mapping[AppName, AppId]:
    if new in names:
        raise _corrupt(entry, f"name {new} is taken")
    kept = {name: app for name, app in names.items() if name != old}
    return kept if new is None else {**kept, new: entry.app}


def _born(entry: Entry) -> AppState:
    if not isinstance(entry.payload, AppCreated):
        raise _corrupt(entry, f"app {entry.app} is not there")
    made = entry.payload
    return AppState(App(entry.app, made.name, made.owner, entry.at, entry.at, made.stack, made.stack))


def _changed(state: AppState, entry: Entry) -> AppState | None:
    app = replace(state.app, updated_at=entry.at)
    state = replace(state, app=app)
    match entry.payload:
        case AppDestroyed():
            return None
        case AppRenamed(name):
            return replace(state, app=replace(app, name=name))
        case MaintenanceSet(on):
            return replace(state, app=replace(app, maintenance=on))
        case BuildStackSet(stack):
            return replace(state, app=replace(app, build_stack=stack))
        case BuildpacksSet(urls):
            return replace(state, app=replace(app, buildpacks=urls))
        case FeatureSet(name, enabled):
            return replace(state, features={**state.features, name: enabled})
        case SlugAdded(slug):
            return replace(state, slugs={**state.slugs, slug.id: slug})
        case BuildStarted() as started:
            return replace(state, builds=(*state.builds, _build(started, entry)))
        case BuildSettled() as settled:
            return _build_settled(state, settled, entry)
        case ReleaseCreated() as created:
            return _released(state, created, entry)
        case ReleaseSettled() as settled:
            return _release_settled(state, settled, entry)
        case FormationSet(rows):
            return replace(state, formation=rows)
        case DomainAdded(id, hostname):
            return replace(state, domains=(*state.domains, Domain(id, hostname, entry.at, entry.at)))
        case DomainRemoved(id):
            domain = _domain(state, id, entry)
            return replace(state, domains=tuple(each for each in state.domains if each is not domain))
        case DomainEndpointSet(id, endpoint):
            domain = _domain(state, id, entry)
            if endpoint is not None and not any(each.id == endpoint for each in state.endpoints):
                raise _corrupt(entry, f"endpoint {endpoint} is not there")
            shown = replace(domain, endpoint=endpoint, updated_at=entry.at)
            return replace(state, domains=tuple(shown if each is domain else each for each in state.domains))
        case EndpointSet() as given:
            return replace(state, endpoints=_endpoints(state, given, entry))
        case EndpointRemoved(id):
            if any(domain.endpoint == id for domain in state.domains):
                raise _corrupt(entry, f"endpoint {id} is in use")
            return replace(state, endpoints=tuple(each for each in state.endpoints if each.id != id))
        case AcmSet(on):
            return replace(state, app=replace(app, acm=on))
        case AppCreated():
            raise _corrupt(entry, f"app {entry.app} is there already")
        case _:
            assert_never(entry.payload)


def _domain(state: AppState, id: DomainId, entry: Entry) -> Domain:
    found = next((domain for domain in state.domains if domain.id == id), None)
    if found is None:
        raise _corrupt(entry, f"domain {id} is not there")
    return found


def _endpoints(state: AppState, given: EndpointSet, entry: Entry) -> tuple[SniEndpoint, ...]:
    made = {each.id: each.created_at for each in state.endpoints}
    since = made.get(given.id, entry.at)
    after = SniEndpoint(given.id, given.name, given.certificate, since, entry.at, given.acm)
    if given.id not in made:
        return (*state.endpoints, after)
    return tuple(after if each.id == given.id else each for each in state.endpoints)


def _build(started: BuildStarted, entry: Entry) -> Build:
    return Build(
        id=started.id,
        status=BuildStatus.PENDING,
        actor=entry.actor,
        commit=started.commit,
        stack=started.stack,
        buildpacks=started.buildpacks,
        created_at=entry.at,
        updated_at=entry.at,
    )


def _build_settled(state: AppState, settled: BuildSettled, entry: Entry) -> AppState:
    if not any(build.id == settled.id for build in state.builds):
        raise _corrupt(entry, f"build {settled.id} is not there")
    builds = tuple(
        replace(build, status=settled.status, slug=settled.slug, release=settled.release, updated_at=entry.at)
        if build.id == settled.id
        else build
        for build in state.builds
    )
    detected = settled.detected or state.app.detected_buildpack
    return replace(state, builds=builds, app=replace(state.app, detected_buildpack=detected))


def _released(state: AppState, created: ReleaseCreated, entry: Entry) -> AppState:
    if created.version != state.next_version:
        raise _corrupt(entry, f"v{created.version} cannot come before v{state.next_version}")
    if created.slug is not None and created.slug not in state.slugs:
        raise _corrupt(entry, f"slug {created.slug} is not there")
    release = Release(
        id=created.id,
        version=created.version,
        description=created.description,
        status=created.status,
        slug=created.slug,
        config=created.config,
        actor=entry.actor,
        created_at=entry.at,
        updated_at=entry.at,
        phase=created.phase,
    )
    return _in_effect(replace(state, releases=(*state.releases, release), config=created.config), release)


def _release_settled(state: AppState, settled: ReleaseSettled, entry: Entry) -> AppState:
    found = next((release for release in state.releases if release.id == settled.id), None)
    if found is None:
        raise _corrupt(entry, f"release {settled.id} is not there")
    after = replace(found, status=settled.status, updated_at=entry.at)
    releases = tuple(after if release is found else release for release in state.releases)
    return _in_effect(replace(state, releases=releases), after)


def _in_effect(state: AppState, release: Release) -> AppState:
    """A release that succeeded moves the app onto its slug's stack."""
    if release.status is not ReleaseStatus.SUCCEEDED or release.slug is None:
        return state
    return replace(state, app=replace(state.app, stack=state.slugs[release.slug].stack))


def _corrupt(entry: Entry, why: str) -> Corrupt:
    return Corrupt(f"cannot fold revision {entry.revision} ({type(entry.payload).__name__}): {why}")
