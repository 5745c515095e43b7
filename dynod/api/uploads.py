"""STATE/uploads: source tarballs and slugs on their way in, and what was announced about them.

Owns the files and their names. A blob is brought to the disk beside its place and renamed, so that what can be found is whole and what was
answered is kept, whenever the power goes. What nobody fetched within a day is swept away at the next start.
"""

import asyncio
import contextlib
import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any

from dynod.host.durable import rename_new, write_durably
from dynod.model.app import Account
from dynod.model.refused import Refusal, Refused

QUIET = 300.0  # seconds without a byte before an upload is given up
KEPT = 86_400.0
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)


def prepare(state: str, now: float) -> str:
    """Make the directory, sweep what is a day old, return its path."""
    path = f"{state}/uploads"
    os.makedirs(path, mode=0o700, exist_ok=True)
    for entry in os.scandir(path):
        if now - entry.stat(follow_symlinks=False).st_mtime > KEPT:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path, ignore_errors=True)
            else:
                os.unlink(entry.path)
    return path


def source_path(directory: str, ident: str) -> str:
    return f"{directory}/{ident}.source"


def slug_path(directory: str, ident: str) -> str:
    return f"{directory}/{ident}.slug"


def fresh_path(directory: str) -> str:
    return f"{directory}/{uuid.uuid4()}.tgz"


async def receive(chunks: AsyncIterator[bytes], path: str, most: int) -> int:
    """Write a body to `path`, whole or not at all; return its size; raise Refused when it is too large or stalls."""
    partial, size = f"{path}.{uuid.uuid4().hex}", 0
    try:
        with open(partial, "xb", opener=_private) as file:
            async with asyncio.timeout(QUIET) as quiet:
                async for chunk in chunks:
                    quiet.reschedule(asyncio.get_running_loop().time() + QUIET)
                    size += len(chunk)
                    if size > most:
                        raise Refused(Refusal.INVALID, f"cannot take more than {most} bytes in one blob")
                    file.write(chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        await asyncio.to_thread(rename_new, partial, path)
    except TimeoutError as error:
        raise Refused(
            Refusal.BAD_REQUEST, f"cannot wait any longer: no byte came for {QUIET:.0f} seconds"
        ) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)
    return size


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


async def take_source(directory: str, ident: str, checksum: str) -> str:
    """Return a path of the uploaded source that is the taker's to delete; the upload itself may be built again."""
    source, taken = source_path(directory, ident), fresh_path(directory)
    try:
        os.link(source, taken)
    except FileNotFoundError as error:
        raise Refused(
            Refusal.INVALID,
            "cannot find the source: nothing was PUT to the `put_url` that belongs to this `source_blob.url`",
        ) from error
    if checksum:
        actual = await asyncio.to_thread(_sha256, taken)
        if checksum.lower() != f"sha256:{actual}":
            os.unlink(taken)
            raise Refused(
                Refusal.INVALID,
                f"cannot build the source: its checksum is SHA256:{actual}, not {checksum[:100]}",
            )
    return taken


def _announcement(directory: str, ident: str) -> str:
    return f"{directory}/{ident}.json"


def _write(path: str, value: Mapping[str, Any]) -> None:
    write_durably(path, json.dumps(value).encode(), 0o600)


async def announce_slug(directory: str, app: str, who: Account, wanted: Mapping[str, Any]) -> str:
    """Remember a slug whose blob is still to come; return its id."""
    ident = str(uuid.uuid4())
    about = {"app": app, "account": {"id": who.id, "email": who.email}, "at": time.time(), "wanted": wanted}
    await asyncio.to_thread(_write, _announcement(directory, ident), {**about, "slug": None})
    return ident


def pending_slug(directory: str, ident: str) -> Any:
    """Return what was announced under that id (`slug` is the platform's id once the blob came), or None."""
    if not _UUID.fullmatch(ident):
        return None
    try:
        with open(_announcement(directory, ident)) as file:
            return json.load(file)
    except FileNotFoundError:
        return None


async def settle_slug(directory: str, ident: str, slug: str) -> None:
    """Write down which slug the announced one became."""
    settled = {**pending_slug(directory, ident), "slug": slug}
    await asyncio.to_thread(_write, _announcement(directory, ident), settled)
