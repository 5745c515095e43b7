"""Reading a stranger's tar: what it holds, entry by entry, or why it is refused. Writes nothing (slug_tree.py does).

Headers are parsed by tarfile.TarInfo.frombuf, and the walk over them is ours. tarfile.TarFile was rejected: it reads extended
headers of any size into memory, follows GNU sparse maps wherever they lead, and keeps every member it saw. Here each record is
bounded before it is read, and every unpacked byte counts, headers and padding too.

The rules, for entries and for the links among them:
- `./app/...` or `app/...` (HEROKU.md 1.4) and nothing else; no absolute path, no `..`, no control characters.
- directories, regular files, symbolic links, hard links to regular files of the same archive; no devices, FIFOs, sparse files.
- setuid, setgid and sticky files are refused; on directories those bits mean no harm and are dropped. Nobody but the owner may
  write, the owner may always read, and enter directories.
- a symbolic link is content: it is never followed while unpacking, and in the dyno it leads to places of the dyno. So /usr/bin/python3
  (what a venv holds) passes, and so does everything under the directories that a dyno has for programs; what climbs out of
  app by `..`, or names the kernel's or other people's directories, has no good reason to be in a slug and is refused.
- extended attributes (capabilities and ACLs are such) are ignored, never set.
"""

import gzip
import tarfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import BinaryIO

from dynod.model.refused import Refusal, Refused

BLOCK = 512
CHUNK = 256 * 1024
APP = "app"
TARGETS = frozenset(
    {"app", "bin", "dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "sbin", "tmp", "usr", "var"}
)
_ZEROS = bytes(BLOCK)
_FORBIDDEN = {
    tarfile.CHRTYPE: "a device node",
    tarfile.BLKTYPE: "a device node",
    tarfile.FIFOTYPE: "a FIFO",
    tarfile.GNUTYPE_SPARSE: "a sparse file",
}


class SlugRefused(Refused):
    """`cannot take slug: entry 'app/x' is a device node`."""

    def __init__(self, why: str) -> None:
        super().__init__(Refusal.INVALID, f"cannot take slug: {why}")
        self.why = why


class Layout(StrEnum):
    """Where an archive's entries belong: a slug says `app/` itself, a source archive is what goes into it."""

    SLUG = "slug"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Limits:
    """`bytes` unpacked with everything, `entries`, then what no honest slug comes near."""

    bytes: int
    entries: int
    path: int = 3_500
    depth: int = 128
    header: int = 256 * 1024
    ratio: int = 200  # unpacked to packed, asked once `ratio_from` bytes came out
    ratio_from: int = 256 * 1024**2


class Kind(StrEnum):
    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    HARDLINK = "hardlink"


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to write at `path` (its components, the first is `app`). `target`: a link's text, or the other name's components."""

    kind: Kind
    path: tuple[str, ...]
    mode: int
    mtime: int
    size: int = 0
    target: str | tuple[str, ...] = ""

    @property
    def name(self) -> str:
        return "/".join(self.path)


def quoted(name: str) -> str:
    """Write a name so that no terminal is harmed by it."""
    shown = name if len(name) <= 100 else f"{name[:97]}..."
    return repr(shown)


class _Bytes:
    """The unpacked stream, counted and bounded."""

    def __init__(self, raw: BinaryIO, limits: Limits) -> None:
        self._raw = raw
        packed = raw.read(2) == b"\x1f\x8b"
        raw.seek(0)
        self._stream: BinaryIO | gzip.GzipFile = gzip.GzipFile(fileobj=raw, mode="rb") if packed else raw
        self._limits = limits
        self.count = 0

    def some(self, most: int) -> bytes:
        """Read up to `most` bytes; b'' at the end."""
        try:
            data = self._stream.read(min(most, CHUNK))
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SlugRefused(f"the archive is damaged or cut off ({error})") from error
        self.count += len(data)
        limits = self._limits
        if self.count > limits.bytes:
            raise SlugRefused(f"it unpacks to more than {limits.bytes} bytes")
        if self.count > limits.ratio_from and self.count > limits.ratio * self._raw.tell():
            raise SlugRefused(f"it unpacks to more than {limits.ratio} times its size")
        return data

    def exactly(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            data = self.some(size)
            if not data:
                raise SlugRefused("the archive is damaged or cut off (it ends inside an entry)")
            parts.append(data)
            size -= len(data)
        return b"".join(parts)


class SlugTar:
    """Iterate its entries; between two of them, `content` yields what the file just seen holds."""

    def __init__(self, raw: BinaryIO, limits: Limits, layout: Layout = Layout.SLUG) -> None:
        self._bytes = _Bytes(raw, limits)
        self._limits = limits
        self._layout = layout
        self._left = 0  # of the current file's content
        self._padding = 0
        self.entries = 0

    @property
    def unpacked(self) -> int:
        """How many bytes came out so far."""
        return self._bytes.count

    def content(self) -> Iterator[bytes]:
        while self._left:
            data = self._bytes.some(self._left)
            if not data:
                raise SlugRefused("the archive is damaged or cut off (it ends inside a file)")
            self._left -= len(data)
            yield data

    def __iter__(self) -> Iterator[Entry]:
        while (header := self._header()) is not None:
            info, pax = header
            self.entries += 1
            if self.entries > self._limits.entries:
                raise SlugRefused(f"it has more than {self._limits.entries} entries")
            entry = self._entry(info, pax)
            self._left = entry.size if entry is not None else 0
            self._padding = -self._left % BLOCK
            if entry is not None:
                yield entry
            for _ in self.content():
                pass
            self._bytes.exactly(self._padding)
        # Padding behind the end: counted, and gzip's checksum at its end is checked.
        while self._bytes.some(CHUNK):
            pass

    # -- headers -------------------------------------------------------------------------------------------------
    def _header(self) -> tuple[tarfile.TarInfo, Mapping[str, str]] | None:
        """Read on to the next real entry's header with the extended ones before it; None at the end."""
        pax: dict[str, str] = {}
        while True:
            first = self._bytes.some(BLOCK)
            if not first and not self.entries and not pax:
                raise SlugRefused("the archive is empty")
            if not first:
                return None
            block = first + self._bytes.exactly(BLOCK - len(first))
            if block == _ZEROS:
                return None
            info = _parse(block)
            match info.type:
                case tarfile.XHDTYPE | tarfile.SOLARIS_XHDTYPE:
                    pax |= _pax(self._record(info))
                case tarfile.XGLTYPE:  # git archive writes one, with the commit's id
                    if _pax(self._record(info)).keys() & {"path", "linkpath", "size"}:
                        raise SlugRefused("a global header names a path or a size")
                case tarfile.GNUTYPE_LONGNAME:
                    pax["path"] = _text(self._record(info).rstrip(b"\0"))
                case tarfile.GNUTYPE_LONGLINK:
                    pax["linkpath"] = _text(self._record(info).rstrip(b"\0"))
                case _:
                    return info, pax

    def _record(self, info: tarfile.TarInfo) -> bytes:
        self.entries += 1  # a million headers without an entry are no better than a million entries
        if self.entries > self._limits.entries:
            raise SlugRefused(f"it has more than {self._limits.entries} entries")
        if not 0 <= info.size <= self._limits.header:
            raise SlugRefused(f"an extended header has {info.size} bytes, more than {self._limits.header}")
        return self._bytes.exactly(info.size + -info.size % BLOCK)[: info.size]

    # -- judgement -----------------------------------------------------------------------------------------------
    def _entry(self, info: tarfile.TarInfo, pax: Mapping[str, str]) -> Entry | None:
        """Judge one entry; None for the archive's own root directory."""
        name = pax.get("path", info.name)
        if any(key.startswith("GNU.sparse") for key in pax):
            raise SlugRefused(f"entry {quoted(name)} is a sparse file")
        if (what := _FORBIDDEN.get(info.type)) is not None:
            raise SlugRefused(f"entry {quoted(name)} is {what}")
        path = self._path(name)
        mtime = _number(pax.get("mtime", str(info.mtime)), name)
        match info.type:
            case tarfile.DIRTYPE:
                return Entry(Kind.DIRECTORY, path, info.mode & 0o755 | 0o700, mtime) if path else None
            case _ if not path or path == (APP,):
                raise SlugRefused(f"entry {quoted(name)} is not a directory")
            case tarfile.SYMTYPE:
                target = pax.get("linkpath", info.linkname)
                _check_symlink(path, target)
                return Entry(Kind.SYMLINK, path, 0o777, mtime, target=target)
            case tarfile.LNKTYPE:
                other = self._path(pax.get("linkpath", info.linkname))
                return Entry(Kind.HARDLINK, path, 0, mtime, target=other)
            case tarfile.REGTYPE | tarfile.AREGTYPE | tarfile.CONTTYPE:
                if info.mode & 0o7000:
                    raise SlugRefused(f"entry {quoted(name)} is setuid, setgid or sticky")
                size = _number(pax.get("size", str(info.size)), name)
                return Entry(Kind.FILE, path, info.mode & 0o755 | 0o400, mtime, size)
            case other_type:
                raise SlugRefused(f"entry {quoted(name)} is of unknown type {other_type!r}")

    def _path(self, name: str) -> tuple[str, ...]:
        if name.startswith("/"):
            raise SlugRefused(f"entry {quoted(name)} has an absolute path")
        if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in name):
            raise SlugRefused(f"entry {quoted(name)} has a control character in its name")
        path = tuple(part for part in name.split("/") if part not in {"", "."})
        if ".." in path:
            raise SlugRefused(f"entry {quoted(name)} leaves by ..")
        if self._layout is Layout.SOURCE:
            path = (APP, *path)
        if path and path[0] != APP:
            raise SlugRefused(f"entry {quoted(name)} is outside app/")
        encoded = [len(part.encode("utf-8", "surrogateescape")) for part in path]
        if len(path) > self._limits.depth or sum(encoded) + len(path) > self._limits.path:
            raise SlugRefused(f"entry {quoted(name)} has a path too long or too deep")
        if any(length > 255 for length in encoded):
            raise SlugRefused(f"entry {quoted(name)} has a name too long")
        return path


def _parse(block: bytes) -> tarfile.TarInfo:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise SlugRefused(f"this is no tar archive, or a damaged one ({error})") from error


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _number(text: str, name: str) -> int:
    """Read a size or a time (pax times have a fraction) that the file system can hold."""
    try:
        value = int(text.partition(".")[0] or "0")
    except ValueError:
        value = -1
    if len(text) > 30 or not 0 <= value < 2**62:
        raise SlugRefused(f"entry {quoted(name)} has a size or time that is none")
    return value


def _pax(data: bytes) -> dict[str, str]:
    """Parse pax records, `LENGTH KEY=VALUE` and a newline (pax(1), "pax Header Block")."""
    found: dict[str, str] = {}
    while data and data[0]:
        digits, _, _ = data[:12].partition(b" ")
        if not digits.isdigit() or not len(digits) < int(digits) <= len(data):
            raise SlugRefused("a pax header is damaged")
        record, data = data[len(digits) + 1 : int(digits)], data[int(digits) :]
        key, equals, value = record.partition(b"=")
        if not equals or not value.endswith(b"\n"):
            raise SlugRefused("a pax header is damaged")
        found[_text(key)] = _text(value[:-1])
    return found


def _check_symlink(path: tuple[str, ...], target: str) -> None:
    name = quoted("/".join(path))
    if not target or "\0" in target or len(target.encode("utf-8", "surrogateescape")) > 4_000:
        raise SlugRefused(f"entry {name} is a link to nothing a link can hold")
    place = [] if target.startswith("/") else list(path[:-1])
    for part in target.split("/"):
        if part == "..":
            if not place:
                raise SlugRefused(f"entry {name} is a link that leaves: {quoted(target)}")
            place.pop()
        elif part not in {"", "."}:
            place.append(part)
    allowed = TARGETS if target.startswith("/") else {APP}
    if not place or place[0] not in allowed:
        raise SlugRefused(f"entry {name} is a link that leaves: {quoted(target)}")
