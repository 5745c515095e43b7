"""One dyno's output on the disk, between its pipe and the ring.

The files are named by the offset of their first byte, so that old ones can go while offsets go on. A spool holds what was not
cut into lines yet and at most SEGMENT bytes before that.
"""

import errno
import os
import shutil

SEGMENT = 256 * 1024


class Spool:
    """Where the bytes from one pipe go. `end` is the offset behind the last of them."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        names = os.listdir(directory) if os.path.isdir(directory) else []
        self._bases = sorted(int(name) for name in names if name.isdigit())
        self._fd = -1
        self.end = 0
        if self._bases:
            self.end = self._bases[-1] + os.stat(self._path(self._bases[-1])).st_size

    @property
    def start(self) -> int:
        """The offset of the oldest byte that is still here."""
        return self._bases[0] if self._bases else self.end

    def take(self, pipe: int, limit: int) -> bytes | None:
        """Move up to `limit` bytes from `pipe` into the file and return them; b'' at the pipe's end, None when it is empty.

        One splice(2): a SIGKILL finds each byte in the pipe or in the file. Raise OSError when the file cannot be written.
        """
        base = self._segment()
        try:
            moved = os.splice(pipe, self._fd, limit, offset_dst=self.end - base, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            return None
        data = os.pread(self._fd, moved, self.end - base)
        self.end += moved
        return data

    def skip(self, count: int) -> None:
        """Go on `count` bytes further without having kept them: the disk would not take them."""
        self._close()
        self.end += count

    def read(self, offset: int, limit: int) -> tuple[int, bytes]:
        """Return bytes from `offset` on, or from the next offset that is here; nothing at the end."""
        for base in self._bases:
            with open(self._path(base), "rb") as file:
                size = os.fstat(file.fileno()).st_size
                if offset < base + size:
                    offset = max(offset, base)
                    return offset, os.pread(file.fileno(), limit, offset - base)
        return self.end, b""

    def release(self, offset: int) -> None:
        """Delete the files that lie wholly before `offset`; the newest stays."""
        while len(self._bases) > 1 and self._bases[1] <= offset:
            os.unlink(self._path(self._bases.pop(0)))

    def remove(self) -> None:
        """Delete it all."""
        self._close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def close(self) -> None:
        """Let go of the file; everything stays where it is."""
        self._close()

    def _segment(self) -> int:
        """Have the newest file open, or a new one if it is full or does not reach to `end`; return its base."""
        if self._fd >= 0 and self.end - self._bases[-1] < SEGMENT:
            return self._bases[-1]
        if self._fd < 0 and self._bases:
            base = self._bases[-1]
            size = os.stat(self._path(base)).st_size
            if base + size == self.end and size < SEGMENT:
                self._fd = os.open(self._path(base), os.O_RDWR | os.O_CLOEXEC)
                return base
        os.makedirs(self.directory, 0o700, exist_ok=True)
        fresh = os.open(self._path(self.end), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._close()
        self._fd = fresh
        if self.end not in self._bases:
            self._bases.append(self.end)
        return self.end

    def _path(self, base: int) -> str:
        return f"{self.directory}/{base:020d}"

    def _close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def disk_refused(error: OSError) -> bool:
    """Whether the disk would not take bytes (full, over quota, broken): nothing that the pipe did."""
    return error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG, errno.EINVAL}
