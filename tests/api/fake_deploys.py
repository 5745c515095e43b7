"""What is deployed on the fake platform: config vars, releases, slugs and builds, in the dicts of a House."""

import hashlib
import os
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from dynod.engine.platform import BuildAsk, SlugAsk
from dynod.model.app import Account, App
from dynod.model.dyno import DynoView
from dynod.model.formation import DEFAULT_SIZE, WEB, Formation, process_type
from dynod.model.refused import Refusal, Refused
from dynod.model.release import (
    Build,
    BuildId,
    BuildStatus,
    Release,
    ReleaseId,
    ReleaseStatus,
    Slug,
    SlugId,
)


def new_id() -> str:
    return str(uuid.uuid4())


@dataclass
class House:
    """One app and all that belongs to it."""

    app: App
    config: dict[str, str] = field(default_factory=dict)
    releases: list[Release] = field(default_factory=list)
    slugs: dict[str, Slug] = field(default_factory=dict)
    builds: list[Build] = field(default_factory=list)
    output: dict[str, bytes] = field(default_factory=dict)
    formation: list[Formation] = field(default_factory=list)
    dynos: list[DynoView] = field(default_factory=list)
    features: dict[str, bool] = field(default_factory=dict)


class Deploys:
    """The part of a FakePlatform that has to do with them."""

    # -- config and releases
    def config(self, app: App) -> Mapping[str, str]:
        return self.house(app.id).config

    async def set_config(
        self, actor: Account, app: App, changes: Mapping[str, str | None]
    ) -> Mapping[str, str]:
        house = self.house(app.id)
        new = {key: value for key, value in {**house.config, **changes}.items() if value is not None}
        if new != house.config:
            house.config = new
            verb = "Set" if any(changes.values()) else "Remove"
            text = f"{verb} {', '.join(changes)} config vars"
            self._release(app, actor, text, self._slug_id(app))
            await self.say(app, f"{text} by user {actor.email}", process="api")
        return new

    def _slug_id(self, app: App) -> SlugId | None:
        current = self.current_release(app)
        return None if current is None else current.slug

    def _release(self, app: App, actor: Account, text: str, slug: SlugId | None, *, phase=False) -> Release:
        house, now = self.house(app.id), self.now()
        release = Release(
            ReleaseId(new_id()),
            len(house.releases) + 1,
            text,
            ReleaseStatus.SUCCEEDED,
            slug,
            dict(house.config),
            actor.email,
            now,
            now,
            phase,
        )
        house.releases.append(release)
        self._boot(house)
        return release

    def releases(self, app: App) -> Sequence[Release]:
        return self.house(app.id).releases

    def release(self, app: App, ident: str) -> Release:
        for one in self.house(app.id).releases:
            if ident in {one.id, f"v{one.version}", str(one.version)}:
                return one
        raise Refused(Refusal.NOT_FOUND, f"cannot find the release {ident}")

    def current_release(self, app: App) -> Release | None:
        good = [one for one in self.house(app.id).releases if one.status is ReleaseStatus.SUCCEEDED]
        return good[-1] if good else None

    async def create_release(self, actor: Account, app: App, slug: Slug, description: str | None) -> Release:
        return self._deploy(actor, app, slug, description or f"Deploy {slug.commit[:8]}")

    def _deploy(self, actor: Account, app: App, slug: Slug, text: str) -> Release:
        house = self.house(app.id)
        if not house.formation:
            house.formation = [
                Formation(new_id(), kind, 1 if kind == WEB else 0, DEFAULT_SIZE, command)
                for kind, command in slug.process_types.items()
            ]
        release = self._release(app, actor, text, slug.id, phase="release" in slug.process_types)
        house.output[release.id] = b"migrating\ndone\n"
        return release

    async def rollback(self, actor: Account, app: App, release: Release) -> Release:
        if release.slug is None:
            raise Refused(Refusal.INVALID, f"cannot roll back to v{release.version}: it has no slug")
        self.house(app.id).config = dict(release.config)
        return self._release(app, actor, f"Rollback to v{release.version}", release.slug)

    async def release_output(self, app: App, release: Release) -> AsyncIterator[bytes]:
        if release.id not in self.house(app.id).output:
            raise Refused(
                Refusal.NOT_FOUND, f"cannot find output of v{release.version}: it has no release phase"
            )
        yield self.house(app.id).output[release.id]

    # -- slugs and builds
    def slug(self, app: App, ident: str) -> Slug:
        try:
            return self.house(app.id).slugs[ident]
        except KeyError:
            raise Refused(Refusal.NOT_FOUND, f"cannot find the slug {ident}") from None

    def slug_blob(self, slug: Slug) -> str:
        return f"{self.settings.state}/slugs/{slug.sha256}.tgz"

    async def add_slug(self, actor: Account, app: App, ask: SlugAsk) -> Slug:
        with open(ask.path, "rb") as file:
            data = file.read()
        if not data.startswith(b"\x1f\x8b"):
            raise Refused(Refusal.INVALID, "cannot take the slug: it is not a tar.gz")
        return self._slug(app, data, ask.process_types, ask.commit, ask.commit_description)

    def _slug(self, app: App, data: bytes, types: Mapping[str, str], commit: str, text: str) -> Slug:
        sha = hashlib.sha256(data).hexdigest()
        kinds = {process_type(kind): command for kind, command in types.items()}
        slug = Slug(
            SlugId(new_id()), sha, len(data), commit, text, kinds, app.build_stack, "Procfile", self.now()
        )
        self.house(app.id).slugs[slug.id] = slug
        os.makedirs(f"{self.settings.state}/slugs", exist_ok=True)
        with open(self.slug_blob(slug), "wb") as file:
            file.write(data)
        return slug

    def builds(self, app: App) -> Sequence[Build]:
        return self.house(app.id).builds

    def build(self, app: App, ident: str) -> Build:
        for one in self.house(app.id).builds:
            if one.id == ident:
                return one
        raise Refused(Refusal.NOT_FOUND, f"cannot find the build {ident}")

    async def start_build(self, actor: Account, app: App, ask: BuildAsk) -> Build:
        """Build at once: one web type, whatever the source is."""
        with open(ask.source, "rb") as file:
            data = file.read()
        os.unlink(ask.source)
        slug = self._slug(app, data, {"web": "./serve", "worker": "./work"}, ask.commit, ask.description)
        release = self._deploy(actor, app, slug, f"Deploy {ask.commit[:8]}")
        now = self.now()
        build = Build(
            BuildId(new_id()),
            BuildStatus.SUCCEEDED,
            actor.email,
            ask.commit,
            app.build_stack,
            ask.buildpacks,
            now,
            now,
            slug.id,
            release.id,
        )
        house = self.house(app.id)
        house.builds.append(build)
        await self.say(app, "ready to serve")
        house.output[build.id] = b"-----> Building on the Debian-12 stack\n-----> Launching...\n"
        return build

    async def build_output(self, app: App, build: Build) -> AsyncIterator[bytes]:
        for line in self.house(app.id).output[build.id].splitlines(keepends=True):
            yield line
            await self.build_gate.wait()

    async def clear_cache(self, actor: Account, app: App) -> None:
        self.done.append(("clear_cache", app.name))
