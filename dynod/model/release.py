"""Slugs, builds and releases: what runs, and how it came to be."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import NewType

from dynod.model.formation import ProcessType

SlugId = NewType("SlugId", str)  # a uuid
BuildId = NewType("BuildId", str)  # a uuid
ReleaseId = NewType("ReleaseId", str)  # a uuid


class ReleaseStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    EXPIRED = "expired"


class BuildStatus(StrEnum):
    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Slug:
    """`sha256` of the tar.gz names the blob; `size` in bytes, compressed; `commit` may be empty."""

    id: SlugId
    sha256: str
    size: int
    commit: str
    commit_description: str
    process_types: Mapping[ProcessType, str]
    stack: str
    buildpack: str
    created_at: float


@dataclass(frozen=True, slots=True)
class Build:
    """`release` is None until there is one; `output` is the name of the kept transcript."""

    id: BuildId
    status: BuildStatus
    actor: str
    commit: str
    stack: str
    buildpacks: tuple[str, ...]
    created_at: float
    updated_at: float
    slug: SlugId | None = None
    release: ReleaseId | None = None


@dataclass(frozen=True, slots=True)
class Release:
    """Immutable but for its status. `config` is the whole map as of this release; `actor` an e-mail address."""

    id: ReleaseId
    version: int
    description: str
    status: ReleaseStatus
    slug: SlugId | None
    config: Mapping[str, str]
    actor: str
    created_at: float
    updated_at: float
    phase: bool = False  # a release command was declared, so there is an output stream
