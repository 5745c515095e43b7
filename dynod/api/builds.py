"""Builds: from a source that was PUT to us, or (over the unix socket) from a path that slugc's git hook made."""

import contextlib
import os
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from dynod.api import fields, render, uploads
from dynod.api.follow import follow
from dynod.api.operation import Ask
from dynod.engine.platform import BuildAsk
from dynod.link import Call
from dynod.model.refused import Refusal, Refused
from dynod.model.release import Build


def _json(ask: Ask, one: Build) -> Any:
    return render.build(ask.app, one, ask.links)


async def index(ask: Ask) -> Any:
    return [_json(ask, one) for one in ask.platform.builds(ask.app)]


async def info(ask: Ask) -> Any:
    return _json(ask, ask.platform.build(ask.app, ask.params["build"]))


def _buildpacks(body: Any) -> Sequence[str]:
    if body.get("buildpacks") is None:
        return ()
    return tuple(
        fields.text(fields.mapping(one, "buildpacks"), "url") for one in fields.items(body, "buildpacks")
    )


def _ours(ask: Ask, url: str) -> str:
    """Return which of our uploads a URL names. We fetch from nowhere else: a daemon that opens strangers' URLs is their proxy."""
    try:
        start, _, token = urlsplit(url).path.rpartition("/")
    except ValueError:
        start = token = ""
    if start != "/blobs/source":
        raise Refused(
            Refusal.INVALID,
            "cannot fetch the field 'source_blob.url': POST /sources, PUT your tar.gz to its put_url, and send its get_url",
        )
    return str(ask.front.seal.open("source", token, ask.links.now))


async def create(ask: Ask) -> Any:
    body = fields.mapping(ask.body)
    blob = fields.child(body, "source_blob")
    buildpacks = tuple(_buildpacks(body))
    url, version = fields.text(blob, "url"), fields.optional_text(blob, "version") or ""
    checksum = fields.optional_text(blob, "checksum") or ""
    description = fields.optional_text(blob, "version_description") or ""
    source = await uploads.take_source(ask.front.uploads, _ours(ask, url), checksum)
    wanted = BuildAsk(source, version, description, buildpacks)
    try:
        return _json(ask, await ask.platform.start_build(ask.account, ask.app, wanted))
    except Refused:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(source)
        raise


async def create_source(ask: Ask) -> Any:
    """Hand out a place for a tarball: PUT it there, then name its get_url in a build."""
    ident = str(uuid.uuid4())
    url = ask.links.blob("source", ident)
    return {"source_blob": {"put_url": url, "get_url": url}}


async def clear_cache(ask: Ask) -> Any:
    await ask.platform.clear_cache(ask.account, ask.app)
    return {}


async def push(ask: Ask, call: Call) -> Any:
    """Build what the git hook brought, streaming the transcript. The build goes on when the pusher goes away."""
    body = fields.mapping(ask.body)
    source = fields.text(body, "source")
    commit, description = fields.text(body, "commit"), fields.optional_text(body, "description") or ""
    if not source.startswith("/"):
        raise Refused(Refusal.INVALID, "cannot take the field 'source' as it is: it must be an absolute path")
    build = await ask.platform.start_build(ask.account, ask.app, BuildAsk(source, commit, description))
    return await _follow(ask, call, build)


async def output(ask: Ask, call: Call) -> Any:
    return await _follow(ask, call, ask.platform.build(ask.app, ask.params["build"]))


async def _follow(ask: Ask, call: Call, build: Build) -> Any:
    async with follow(ask.platform.build_output(ask.app, build)) as chunks:
        async for chunk in chunks:
            await call.item(chunk)
    ended = ask.platform.build(ask.app, build.id)
    release = None if ended.release is None else ask.platform.release(ask.app, ended.release).version
    return {"status": ended.status.value, "release": release}
