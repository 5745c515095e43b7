"""One app's history on the disk: its last lines, and how far each origin had come with them.

Two segment files, current and previous, named by the number of their first line. When the current one holds `history` lines a
new one begins and the oldest goes, so there are always `history` lines or all. Each segment starts with the marks of all
origins: what the deleted one said about them must not be lost. Lines are numbered from 0 and a number is never used twice.
"""

import errno
import logging
import os
import shutil

from dynod.logplex.records import Marks, Record, encode, scan
from dynod.logplex.tail import Numbered
from dynod.model.log import HISTORY

_log = logging.getLogger(__name__)
_SUFFIX = ".ring"
WRITERS = 16  # writers remembered per app; a writer is a process's life (dynod.host.log_link), so old ones never come back
WRITER = "@"  # what their origins begin with, where a dyno's is its id


class Ring:
    """`offset(origin)` says what is in already; `append` adds; `read` gives back. One process at a time."""

    def __init__(self, directory: str, history: int = HISTORY) -> None:
        self.directory = directory
        self.last_at = 0  # of dynos' lines, which are stamped here; others bring their own time
        self._history = history
        self._offsets: dict[str, int] = {}
        self._bases: list[int] = []
        self._fd = -1
        self._count = 0  # lines in the current segment
        self._size = 0  # its good bytes
        self._unkept: list[Record] = []  # in memory only: the disk would not take them
        self._gap = False  # some of them were given up, so the next are not the ones behind the file's last
        self.next = 0  # number of the next line
        if os.path.isdir(directory):
            self._load()

    @property
    def kept(self) -> bool:
        """Whether every line is in the file."""
        return not self._unkept

    def offset(self, origin: str) -> int:
        """How far the origin had come with the last line that is in."""
        return self._offsets.get(origin, 0)

    def origins(self) -> tuple[str, ...]:
        """Return all that are remembered."""
        return tuple(self._offsets)

    def drop(self, origin: str) -> None:
        """Forget an origin that will bring nothing more."""
        self._offsets.pop(origin, None)

    def append(self, records: list[Record]) -> int:
        """Add lines and return the number of the first. One write(2); what the disk refuses stays in memory for the next try."""
        first = self.next
        for record in records:
            self._mark(record)
        self.next += len(records)
        self._unkept += records
        try:
            self._write()
        except OSError as error:
            if len(self._unkept) == len(records):
                _log.error(
                    "cannot keep log lines in %s, they stay in memory: %s", self.directory, error.strerror
                )
            self._gap = self._gap or len(self._unkept) > self._history
            del self._unkept[: -self._history]
        return first

    def read(self, after: int = -1) -> list[Numbered]:
        """Return all lines behind number `after` that are still here."""
        lines: list[Numbered] = []
        for base in self._bases:
            records, _ = self._scan(base)
            numbered = enumerate((record for record in records if isinstance(record, Record)), base)
            lines += [(number, record) for number, record in numbered if number > after]
        unkept = enumerate(self._unkept, self.next - len(self._unkept))
        return lines + [(number, record) for number, record in unkept if number > after]

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def remove(self) -> None:
        """Delete it all."""
        self.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- the file ----------------------------------------------------------------------------------------------------

    def _load(self) -> None:
        names = os.listdir(self.directory)
        self._bases = sorted(int(name.removesuffix(_SUFFIX)) for name in names if name.endswith(_SUFFIX))
        for base in self._bases:
            records, good = self._scan(base)
            self._count, self._size = 0, good
            for record in records:
                match record:
                    case Marks(at, offsets):
                        self._offsets = dict(offsets)
                        self.last_at = max(self.last_at, at)
                    case Record():
                        self._count += 1
                        self._mark(record)
            self.next = base + self._count
        if self._bases:
            self._fd = self._open(self._bases[-1])
            os.ftruncate(self._fd, self._size)
            if not self._size:  # killed before its first record was whole
                self._size = self._put(encode(Marks(self.last_at, self._offsets)))

    def _scan(self, base: int) -> tuple[list[Record | Marks], int]:
        with open(self._path(base), "rb") as file:
            return scan(file.read())

    def _write(self) -> None:
        data = b"".join(map(encode, self._unkept))
        if self._fd < 0 or self._gap:
            # All in one write: no SIGKILL can leave the marks of these lines without the lines, unless the disk was full before.
            offsets = self._offsets if self._bases else {}
            self._begin(self.next - len(self._unkept), encode(Marks(self.last_at, offsets)) + data)
            self._count, self._gap = 0, False
        else:
            self._size += self._put(data)
        self._count += len(self._unkept)
        self._unkept = []
        if self._count >= self._history:  # now, since these marks are those of what is written
            self._begin(self.next, encode(Marks(self.last_at, self._offsets)))
            self._count = 0

    def _begin(self, base: int, data: bytes) -> None:
        """Begin a segment with `data`; without room for it nothing changes."""
        os.makedirs(self.directory, 0o700, exist_ok=True)
        before, size = self._fd, self._size
        self._fd, self._size = self._open(base), 0
        try:
            os.ftruncate(self._fd, 0)
            self._size = self._put(data)
        except OSError:
            os.close(self._fd)
            os.unlink(self._path(base))
            self._fd, self._size = before, size
            raise
        if before >= 0:
            os.close(before)
        self._bases = [kept for kept in self._bases if kept != base] + [base]
        while len(self._bases) > 2:
            os.unlink(self._path(self._bases.pop(0)))

    def _put(self, data: bytes) -> int:
        """Write all of it behind the good bytes or nothing."""
        written = os.write(self._fd, data)
        if written < len(data):
            os.ftruncate(self._fd, self._size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.directory)
        return written

    def _mark(self, record: Record) -> None:
        origin = record.origin
        if not origin.startswith(WRITER):
            if origin:
                self._offsets[origin] = record.offset
                self.last_at = max(self.last_at, record.at)
            return
        self._offsets.pop(origin, None)  # the one that wrote last stands last
        self._offsets[origin] = record.offset
        writers = [known for known in self._offsets if known.startswith(WRITER)]
        if len(writers) > WRITERS:
            self._offsets.pop(writers[0])

    def _open(self, base: int) -> int:
        return os.open(self._path(base), os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def _path(self, base: int) -> str:
        return f"{self.directory}/{base:020d}{_SUFFIX}"
