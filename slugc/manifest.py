"""The two papers of a build: the request that the engine lays into BUILD_ROOT and the manifest that it finds in out/. Pure."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """request.json. `buildpacks` empty means: detect. Bytes are limits."""

    app: str
    stack: str
    commit: str
    request_id: str
    buildpacks: tuple[str, ...]
    checkout_bytes: int
    slug_bytes: int = 1024**3

    @classmethod
    def from_json(cls, text: str) -> "BuildRequest":
        """Read what the engine wrote; raise ValueError or KeyError for anything else."""
        value = json.loads(text)
        return cls(
            app=str(value["app"]),
            stack=str(value["stack"]),
            commit=str(value.get("commit") or ""),
            request_id=str(value.get("request_id") or ""),
            buildpacks=tuple(str(each) for each in value.get("buildpacks") or ()),
            checkout_bytes=int(value.get("checkout_bytes") or 1024**3),
            slug_bytes=int(value.get("slug_bytes") or 1024**3),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """manifest.json. `buildpack` is the primary pack's own name ("Python"), `buildpacks` what was used, by the names or URLs
    that would choose it again; `detected` says that nobody had asked for them. `size` is the slug's, `unpacked` its files'.
    """

    process_types: Mapping[str, str]
    buildpack: str
    buildpacks: tuple[str, ...]
    detected: bool
    size: int
    sha256: str
    unpacked: int
    addons: tuple[str, ...] = ()
    config_vars: Mapping[str, str] | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"
