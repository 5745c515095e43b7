"""The state of everything, as a fold over the ledger's entries.

`fold` is the one way in: a ledger and its next entry give the next ledger. What may become an entry is decided in
core/changes.py; how entries and snapshots lie on a disk is store/'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, assert_never

from dynod.model.app import App, AppId, AppName
from dynod.model.entry import (
    AppCreated,
    AppDestroyed,
    AppRenamed,
    BuildpacksSet,
    BuildSettled,
    BuildStackSet,
    BuildStarted,
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

    @property
    def next_version(self) -> int:
        return self.releases[-1].version + 1 if self.releases else 1


@dataclass(frozen=True, slots=True)
class Ledger:
    """Every app as of `revision`."""

    revision: int = 0
    apps: Mapping[AppId, AppState] = field(default_factory=dict)
    names: Mapping[AppName, AppId] = field(default_factory=dict)


def fold(ledger: Ledger, entry: Entry) -> Ledger:
    """Return the ledger after `entry`; raise Corrupt if it cannot come next."""
    raise NotImplementedError
