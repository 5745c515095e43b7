"""The slug store: STATE/slugs/<sha256>.tgz, and beside it <sha256>/, the same slug unpacked once for all dynos of a release.

What is there under its final name is whole: both are made under a temporary name, brought to the disk and renamed. Trees belong
to the slug user (when we are root; to ourselves otherwise) and never to uid 0. Everything here blocks: call it by asyncio.to_thread.
What a slug may hold is slug_tar.py; how it is written down is slug_tree.py.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

from dynod.host.durable import rename_new, to_disk
from dynod.host.slug_tar import Layout, Limits, SlugRefused
from dynod.model.codes import RCode
from dynod.model.refused import Refusal, Refused
from dynod.model.settings import Settings

CHUNK = 1024**2
_log = logging.getLogger(__name__)
_TEMPORARY = ".new-"


@dataclass(frozen=True, slots=True)
class Stored:
    """A slug archive that is on the disk."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Owner:
    uid: int
    gid: int


def slug_owner(settings: Settings) -> Owner:
    """The slug user, whom no dyno runs as; ourselves when we may not give files away."""
    if os.geteuid() != 0:
        return Owner(os.geteuid(), os.getegid())
    return Owner(settings.uid_first - 1, settings.uid_first - 1)


def slug_limits(settings: Settings) -> Limits:
    return Limits(bytes=settings.unpacked_bytes, entries=settings.slug_entries)


class SlugDamaged(Refused):
    """R17; `line` is what the log says, to the letter."""

    def __init__(self, expected: str, actual: str) -> None:
        self.line = "Error " + RCode.R17.value.format(expected=expected, actual=actual)
        super().__init__(Refusal.UNAVAILABLE, f"cannot use slug {expected[:8]}: {self.line}")


def unpack(
    archive: str, destination: str, limits: Limits, owner: Owner, layout: Layout = Layout.SLUG
) -> dict[str, int]:
    """Unpack an archive to `destination` (its parent exists), whole or not at all; say how many entries and bytes.

    A destination that is there already is left as it is. Raise SlugRefused for what is in the archive, OSError for the disk.
    """
    with _temporary_directory(os.path.dirname(destination), owner) as work:
        given = {**asdict(limits), "uid": owner.uid, "gid": owner.gid, "layout": layout.value}
        command = [sys.executable, "-P", "-m", "dynod.host.slug_tree", json.dumps(given)]
        with open(archive, "rb") as source:
            done = subprocess.run(
                command, stdin=source, cwd=work, capture_output=True, text=True, check=False
            )
        counts = _answer(done)
        to_disk(work)
        with suppress(FileExistsError):  # somebody was faster: the same bytes, the same tree
            rename_new(work, destination)
    return counts


def _answer(done: "subprocess.CompletedProcess[str]") -> dict[str, int]:
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        reason = done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]
        raise SlugRefused(f"unpacking ended early ({reason[0]})") from None
    if "refused" in answer:
        raise SlugRefused(answer["refused"])
    if "failed" in answer:
        raise OSError(f"cannot unpack slug: {answer['failed']}")
    return answer


@contextmanager
def _temporary_directory(parent: str, owner: Owner) -> Iterator[str]:
    work = tempfile.mkdtemp(prefix=_TEMPORARY, dir=parent)
    try:
        os.chmod(work, 0o755)  # noqa: S103  # dynos of many uids read it
        if os.geteuid() == 0:
            os.chown(work, owner.uid, owner.gid)
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Slugs:
    """The store of one instance."""

    def __init__(self, state: str, owner: Owner, limits: Limits, packed_bytes: int) -> None:
        self._directory = f"{state}/slugs"
        self._owner = owner
        self._limits = limits
        self._packed_bytes = packed_bytes

    def prepare(self) -> None:
        """Make the directory, and clear away what a killed predecessor was about to make."""
        os.makedirs(self._directory, mode=0o755, exist_ok=True)
        for name in os.listdir(self._directory):
            if name.startswith(_TEMPORARY):
                path = f"{self._directory}/{name}"
                shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)

    def blank(self) -> str:
        """The tree of an app that has nothing yet: an empty /app of the dyno's own, for builds and for blank apps."""
        tree = f"{self._directory}/blank"
        app = f"{tree}/app"
        os.makedirs(app, mode=0o755, exist_ok=True)
        if os.geteuid() == 0:
            for path in (tree, app):
                os.chown(path, self._owner.uid, self._owner.gid)
        return tree

    def archive(self, sha256: str) -> str:
        """Where the archive is; raise Refused(NOT_FOUND) for what is no SHA-256."""
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise Refused(Refusal.NOT_FOUND, f"cannot find slug {sha256[:80]!r}: it is no SHA-256")
        return f"{self._directory}/{sha256}.tgz"

    def tree(self, sha256: str) -> str:
        """Where the unpacked slug is, once `unpack` was asked for it."""
        return self.archive(sha256).removesuffix(".tgz")

    def store(self, source: BinaryIO | str) -> Stored:
        """Take an archive (an open file or a path, which stays) to the disk under its hash; raise SlugRefused."""
        if isinstance(source, str):
            with open(source, "rb") as file:
                return self.store(file)
        digest = hashlib.sha256()
        size = 0
        descriptor, temporary = tempfile.mkstemp(prefix=_TEMPORARY, dir=self._directory)
        try:
            with os.fdopen(descriptor, "wb") as file:
                while data := source.read(CHUNK):
                    size += len(data)
                    if size > self._packed_bytes:
                        raise SlugRefused(f"it has more than {self._packed_bytes} bytes")
                    digest.update(data)
                    file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(temporary, 0o644)
            rename_new(temporary, self.archive(digest.hexdigest()))
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        return Stored(digest.hexdigest(), size)

    def verify(self, sha256: str) -> None:
        """Check the archive against its name; raise SlugDamaged (R17) or Refused(NOT_FOUND)."""
        try:
            with open(self.archive(sha256), "rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except FileNotFoundError:
            raise Refused(
                Refusal.NOT_FOUND, f"cannot find slug {sha256[:8]}: its archive is gone; deploy again"
            ) from None
        if actual != sha256:
            raise SlugDamaged(sha256, actual)

    def unpack(self, sha256: str) -> str:
        """Return the slug's tree, unpacked and checked now if it was not yet; raise Refused (SlugRefused, SlugDamaged)."""
        tree = self.tree(sha256)
        if not os.path.isdir(tree):
            self.verify(sha256)
            unpack(self.archive(sha256), tree, self._limits, self._owner)
        return tree

    def remove(self, sha256: str) -> None:
        """Remove archive and tree; the caller knows that no dyno uses it. One of another user's stays (host/handover.py)."""
        grave = tempfile.mkdtemp(prefix=_TEMPORARY, dir=self._directory)
        try:
            with suppress(FileNotFoundError):
                # At once, so that no half of it is ever taken for a slug.
                os.rename(self.tree(sha256), f"{grave}/tree")
            with suppress(FileNotFoundError):
                os.unlink(self.archive(sha256))
        except PermissionError as error:
            _log.info("slug %s stays until the next start of the machine: %s", sha256[:8], error.strerror)
        shutil.rmtree(grave)

    def stored(self) -> set[str]:
        """Every slug that is here."""
        return {name[:64] for name in os.listdir(self._directory) if re.fullmatch(r"[0-9a-f]{64}\.tgz", name)}
