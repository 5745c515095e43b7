"""The slug as a file: a reproducible tar.gz. Same tree, same date, same bytes.

Entries are `./app/...` in byte order, owned by 0:0, all of one date, with modes 755 and 644 alone (no setuid survives); the gzip
header has neither name nor time. One date for all and not a constant: web servers make ETag and Last-Modified of it, so a
constant would let browsers keep files of the last release. At level 3 a slug of
Python packages has a tenth more bytes than at level 6 and takes half the time.
"""

import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

LEVEL = 3
CHUNK = 1024 * 1024
_GZIP = 31  # zlib's word for a gzip wrapper; it writes no name and no time


@dataclass(frozen=True, slots=True)
class Packed:
    """`size` and `sha256` of the tar.gz, bytes of all files `unpacked`; `dropped` were no files that a slug can hold."""

    size: int
    sha256: str
    unpacked: int
    dropped: tuple[str, ...]


@dataclass(slots=True)
class _Sink:
    """Compress, count and hash; stop writing (not counting) beyond the limit."""

    descriptor: int
    limit: int
    size: int = 0
    sha256: "hashlib._Hash" = field(default_factory=hashlib.sha256)
    _deflate: "zlib._Compress" = field(
        default_factory=lambda: zlib.compressobj(LEVEL, zlib.DEFLATED, _GZIP, 9)
    )

    def put(self, data: bytes) -> None:
        self._out(self._deflate.compress(data))

    def close(self) -> None:
        self._out(self._deflate.flush())

    def _out(self, data: bytes) -> None:
        if not data:
            return
        self.size += len(data)
        self.sha256.update(data)
        if self.size <= self.limit:
            view = memoryview(data)
            while view:
                view = view[os.write(self.descriptor, view) :]


def pack(root: str, out: str, epoch: int, limit: int) -> Packed:
    """Write the tree at `root` as the slug `out`; a file over `limit` is counted to its end but not kept whole."""
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        sink = _Sink(descriptor, limit)
        dropped: list[str] = []
        unpacked = 0
        sink.put(_header("./app/", stat.S_IFDIR | 0o755, 0, epoch))
        for name, mode in _walk(root, "", dropped):
            unpacked += _entry(sink, root, name, mode, epoch)
        sink.put(bytes(2 * tarfile.BLOCKSIZE))
        sink.close()
    finally:
        os.close(descriptor)
    return Packed(sink.size, sink.sha256.hexdigest(), unpacked, tuple(dropped))


def _walk(root: str, below: str, dropped: list[str]) -> Iterator[tuple[str, int]]:
    """Every entry with its mode, parents first, in byte order."""
    path = f"{root}/{below}"
    try:
        names = os.listdir(path)
    except PermissionError:
        os.chmod(path, 0o755)  # a pack's own doing; the tree is ours
        names = os.listdir(path)
    for name in sorted(names, key=os.fsencode):
        inner = f"{below}{name}"
        mode = os.lstat(f"{root}/{inner}").st_mode
        if stat.S_ISDIR(mode):
            yield inner, mode
            yield from _walk(root, f"{inner}/", dropped)
        elif stat.S_ISREG(mode) or stat.S_ISLNK(mode):
            yield inner, mode
        else:
            dropped.append(inner)


def _entry(sink: _Sink, root: str, name: str, mode: int, epoch: int) -> int:
    path = f"{root}/{name}"
    if stat.S_ISDIR(mode):
        sink.put(_header(f"./app/{name}/", mode, 0, epoch))
        return 0
    if stat.S_ISLNK(mode):
        sink.put(_header(f"./app/{name}", mode, 0, epoch, os.readlink(path)))
        return 0
    if not mode & 0o400:
        os.chmod(path, 0o644 | (mode & 0o111))
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        sink.put(_header(f"./app/{name}", mode, size, epoch))
        left = size
        while left:
            chunk = file.read(min(CHUNK, left))
            if not chunk:  # it shrank under our hands: something of the build still runs
                chunk = bytes(min(CHUNK, left))
            sink.put(chunk)
            left -= len(chunk)
    sink.put(bytes(-size % tarfile.BLOCKSIZE))
    return size


def _header(name: str, mode: int, size: int, epoch: int, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.mtime = epoch
    info.size = size
    if stat.S_ISDIR(mode):
        info.type, info.mode = tarfile.DIRTYPE, 0o755
    elif stat.S_ISLNK(mode):
        info.type, info.mode, info.linkname = tarfile.SYMTYPE, 0o777, link
    else:
        info.mode = 0o755 if mode & 0o111 else 0o644
    try:  # most names fit, and a long-name record of GNU's would be two blocks more for each
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8", "surrogateescape")
    except ValueError:
        return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
