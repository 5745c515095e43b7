"""Ledger entries: everything that anybody changed, one frozen class per kind. State is a fold over them (core/ledger.py).

Observations (a dyno went up, crashed, was cycled) are no entries. `SECRET` kinds are sealed on disk (store/secrets.py).
Classes may gain fields with defaults; a field is never renamed or removed, because old ledgers are read for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from dynod.model.app import Account, AppId, AppName
from dynod.model.domain import Certificate, DomainId, EndpointId, Hostname
from dynod.model.formation import Formation
from dynod.model.release import BuildId, BuildStatus, ReleaseId, ReleaseStatus, Slug, SlugId


@dataclass(frozen=True, slots=True)
class AppCreated:
    name: AppName
    owner: Account
    stack: str


@dataclass(frozen=True, slots=True)
class AppRenamed:
    name: AppName


@dataclass(frozen=True, slots=True)
class AppDestroyed:
    pass


@dataclass(frozen=True, slots=True)
class MaintenanceSet:
    on: bool


@dataclass(frozen=True, slots=True)
class BuildStackSet:
    stack: str


@dataclass(frozen=True, slots=True)
class BuildpacksSet:
    urls: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FeatureSet:
    name: str
    enabled: bool


@dataclass(frozen=True, slots=True)
class SlugAdded:
    slug: Slug


@dataclass(frozen=True, slots=True)
class BuildStarted:
    id: BuildId
    commit: str
    stack: str
    buildpacks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BuildSettled:
    id: BuildId
    status: BuildStatus
    slug: SlugId | None
    release: ReleaseId | None
    detected: str = ""  # the buildpack that was found, shown as `buildpack_provided_description`


@dataclass(frozen=True, slots=True)
class ReleaseCreated:
    """`config` is the app's whole map from here on, whatever becomes of the release."""

    id: ReleaseId
    version: int
    description: str
    status: ReleaseStatus
    slug: SlugId | None
    config: Mapping[str, str]
    phase: bool = False


@dataclass(frozen=True, slots=True)
class ReleaseSettled:
    id: ReleaseId
    status: ReleaseStatus


@dataclass(frozen=True, slots=True)
class FormationSet:
    """The whole formation after a scale or a deploy."""

    rows: tuple[Formation, ...]


@dataclass(frozen=True, slots=True)
class DomainAdded:
    id: DomainId
    hostname: Hostname


@dataclass(frozen=True, slots=True)
class DomainRemoved:
    id: DomainId


@dataclass(frozen=True, slots=True)
class DomainEndpointSet:
    """Whose certificate is shown for the domain from here on."""

    id: DomainId
    endpoint: EndpointId | None


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """A certificate with its key: a new endpoint, or another certificate for one that is there."""

    id: EndpointId
    name: str
    certificate: Certificate
    acm: bool = False


@dataclass(frozen=True, slots=True)
class EndpointRemoved:
    id: EndpointId


@dataclass(frozen=True, slots=True)
class AcmSet:
    """Whether certificates for the app's domains are fetched and renewed by us."""

    on: bool


Payload = (
    AppCreated
    | AppRenamed
    | AppDestroyed
    | MaintenanceSet
    | BuildStackSet
    | BuildpacksSet
    | FeatureSet
    | SlugAdded
    | BuildStarted
    | BuildSettled
    | ReleaseCreated
    | ReleaseSettled
    | FormationSet
    | DomainAdded
    | DomainRemoved
    | DomainEndpointSet
    | EndpointSet
    | EndpointRemoved
    | AcmSet
)

# What changes which names there are, or whose certificates they show.
NAMING = (
    AppCreated
    | AppRenamed
    | AppDestroyed
    | DomainAdded
    | DomainRemoved
    | DomainEndpointSet
    | EndpointSet
    | EndpointRemoved
    | AcmSet
)

SECRET: frozenset[type[Payload]] = frozenset({ReleaseCreated, EndpointSet})


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the ledger. `revision` counts from 1 without gaps; 0 before the store has given it one. `at`: epoch seconds."""

    revision: int
    app: AppId
    actor: str
    at: float
    payload: Payload
