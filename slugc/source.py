"""Unpack what was pushed into a fresh directory. Nothing in the archive is trusted: not its names, links, modes or sizes.

`unpack` refuses the whole archive at the first entry that is not a plain file, directory or link inside the tree, and what it
counts is bounded before it is written. tarfile's own extraction filters came with 3.11.4 and Debian 12 has 3.11.2, and they say
nothing of sizes, so the few rules stand here. Symbolic links may point anywhere (Heroku takes them, and they mean something only
inside the dyno), but nothing is ever written through one.
"""

import hashlib
import os
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from slugc import slugignore
from slugc.output import alarm, human_size

MAX_ENTRIES = 500_000
CHUNK = 256 * 1024
# Zip, and so wheels and jars, has no date before 1980; a .pyc holds 32 bits.
EPOCH_FIRST = 315_532_800
EPOCH_LAST = 2**31 - 1
_IGNORED_TYPES = (tarfile.XGLTYPE, tarfile.XHDTYPE)


@dataclass(frozen=True, slots=True)
class Source:
    """`digest` of the tree as it was sent (names, kinds, modes, contents), `newest` date in it: a commit's own date."""

    digest: str
    newest: int


class BadArchive(Exception):
    """Why it is not unpacked: the end of a sentence that begins with `cannot unpack`."""


def unpack(archive: str, into: str, limit: int) -> Source:
    """Unpack tar or tar.gz `archive` (the app at its root) into the empty directory `into`; raise BadArchive."""
    try:
        with open(archive, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with tarfile.open(archive, "r:gz" if packed else "r:") as tar:
            return _unpack(tar, into, limit)
    except (tarfile.TarError, EOFError, zlib.error, UnicodeError) as error:
        raise BadArchive(f"it is no tar or tar.gz file that can be read ({error})") from error
    except OSError as error:
        if error.errno is None:  # gzip's way to say that the bytes are bad
            raise BadArchive(f"it is no tar or tar.gz file that can be read ({error})") from error
        raise BadArchive(f"{error.strerror}: {error.filename or archive}") from error


def _unpack(tar: tarfile.TarFile, into: str, limit: int) -> Source:
    tree = _Tree(into)
    digests: dict[str, bytes] = {}
    newest = EPOCH_FIRST
    total = entries = 0
    for member in tar:
        entries += 1
        total += member.size if member.isreg() else 0
        if entries > MAX_ENTRIES:
            raise BadArchive(f"it has more than {MAX_ENTRIES} entries")
        if total > limit:
            raise BadArchive(f"its files are larger than {human_size(limit)} together")
        name = _inside(member.name)
        newest = max(newest, min(int(member.mtime), EPOCH_LAST))
        if not name:
            continue
        digests[name] = _place(tar, member, tree, name)
    whole = hashlib.sha256()
    for name in sorted(digests):
        whole.update(os.fsencode(name) + b"\0" + digests[name])
    return Source(whole.hexdigest(), newest)


def _inside(name: str) -> str:
    """The entry's path below the root, or '' for the root itself."""
    if name.startswith("/") or "\0" in name:
        raise BadArchive(f"{name!r} is an absolute path")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BadArchive(f"{name!r} leaves the tree")
    return "/".join(parts)


class _Tree:
    """What lies in the new tree so far, so that no entry is written through a link. It began empty and is ours alone."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._kinds: dict[str, str] = {"": "directory"}

    def path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def kind(self, name: str) -> str:
        return self._kinds.get(name, "")

    def directory(self, name: str) -> None:
        """Make a directory and the ones above it."""
        if self._kinds.get(name) == "directory":
            return
        above = name.rpartition("/")[0]
        self.directory(above)
        if name in self._kinds:
            raise BadArchive(f"{name!r} is a {self._kinds[name]} and a directory at once")
        os.mkdir(self.path(name), 0o755)
        self._kinds[name] = "directory"

    def claim(self, name: str, kind: str) -> str:
        """Make room for a file or link; return its path. A later entry of the same name replaces an earlier one."""
        self.directory(name.rpartition("/")[0])
        if self._kinds.get(name) == "directory":
            raise BadArchive(f"{name!r} is a directory and a {kind} at once")
        if name in self._kinds:
            os.unlink(self.path(name))
        self._kinds[name] = kind
        return self.path(name)


def _place(tar: tarfile.TarFile, member: tarfile.TarInfo, tree: _Tree, name: str) -> bytes:
    """Write one entry; return what tells it from another."""
    if member.isdir():
        tree.directory(name)
        return b"d"
    if member.issym():
        os.symlink(member.linkname, tree.claim(name, "link"))
        return b"l" + os.fsencode(member.linkname)
    if member.islnk():
        target = _inside(member.linkname)
        if tree.kind(target) != "file":
            raise BadArchive(f"{name!r} is a hard link to {member.linkname!r}, which is no file before it")
        if target != name:
            path = tree.claim(name, "file")
            shutil.copy2(tree.path(target), path)
        return b"h" + os.fsencode(target)
    if not member.isreg():
        raise BadArchive(f"{name!r} is a device, a pipe or a socket")
    return _file(tar, member, tree.claim(name, "file"))


def _file(tar: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bytes:
    executable = bool(member.mode & 0o111)
    content = tar.extractfile(member)
    assert content is not None
    digest = hashlib.sha256(b"x" if executable else b"f")
    written = 0
    out = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o755 if executable else 0o644)
    try:
        while chunk := content.read(CHUNK):
            digest.update(chunk)
            written += len(chunk)
            os.write(out, chunk)
    finally:
        os.close(out)
    if written != member.size:
        raise BadArchive(f"{member.name!r} is cut short")
    return digest.digest()


def drop_ignored(root: str) -> str:
    """Remove git's own files and `.slugignore` matches; return what there is to say about it, or ''."""
    for name in (".git", ".gitmodules"):
        _remove(f"{root}/{name}")
    try:
        with open(f"{root}/.slugignore", encoding="utf-8", errors="surrogateescape") as file:
            rules = slugignore.parse(file.read())
    except (FileNotFoundError, IsADirectoryError):
        return ""
    matches = list(_matches(root, "", rules))
    for name in matches:
        _remove(f"{root}/{name}")
    said = [f"-----> Deleting {len(matches)} files matching .slugignore patterns."] if matches else []
    said += [alarm(f"Warning: .slugignore knows no negation, passed over: {line}") for line in rules.refused]
    return "\n".join(said)


def _matches(root: str, below: str, rules: slugignore.Rules) -> Iterator[str]:
    """The uppermost paths that a rule names: what is inside them goes with them."""
    with os.scandir(f"{root}/{below}") as entries:
        for entry in entries:
            path = f"{below}{entry.name}"
            is_directory = entry.is_dir(follow_symlinks=False)
            if rules.matches(path, is_directory=is_directory):
                yield path
            elif is_directory:
                yield from _matches(root, f"{path}/", rules)


def _remove(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def set_dates(root: str, epoch: int) -> None:
    """Give every file the slug's date, so that a .pyc made during the build still fits its source at run time."""
    for directory, _, files in os.walk(root):
        for name in files:
            os.utime(f"{directory}/{name}", (epoch, epoch), follow_symlinks=False)
