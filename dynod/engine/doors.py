"""The doors of a build: named pipes in its directory, which it sees read-only, and the files that what comes through them is kept in.

So all that a build writes lies on its own disk, under that disk's ceiling, and of what it hands out no more is kept than was asked for:
the reader hangs up at the limit. Way in: `doors`. What is in the files is for others to check. Rejected: a writable directory of the host's,
in which nothing but a quota stops anybody; and a tar of all three, which would have to be taken apart before it could be bounded.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from dataclasses import dataclass, field

from dynod.engine.attach import read_all
from dynod.model.refused import Refusal, Refused

_PIECE = 1024 * 1024  # bytes that are written to the disk at a time, beside the loop


@dataclass(slots=True)
class Door:
    """What one pipe let through. `path` is the file; there is none when it was more than `limit` bytes, or nothing at all."""

    name: str
    path: str
    limit: int
    pipe: int = -1
    size: int = 0
    error: OSError | None = None
    _rest: bytearray = field(default_factory=bytearray)

    @property
    def is_over(self) -> bool:
        return self.size > self.limit

    def found(self) -> str:
        """The file; raise Refused, or OSError where it could not be written."""
        if self.error is not None:
            raise self.error
        if self.is_over:
            raise Refused(
                Refusal.INVALID, f"cannot take {self.name} of the build: it is larger than {self.limit} bytes"
            )
        if not self.size:
            raise Refused(Refusal.INVALID, f"cannot take {self.name} of the build: it is missing")
        return self.path

    async def read(self) -> None:
        """Keep what comes until every writer has hung up, or until it is too much."""
        try:
            async for data in read_all(self.pipe):
                self.size += len(data)
                self._rest += data
                if self.is_over:
                    break
                if len(self._rest) >= _PIECE:
                    await self._write()
            await self._write()
        except OSError as error:
            self.error = error
        finally:
            self.hang_up()

    def hang_up(self) -> None:
        """Read no more: who writes on gets EPIPE."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    async def _write(self) -> None:
        if self.is_over:
            self._rest.clear()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)
        if not self._rest:
            return
        data, self._rest = self._rest, bytearray()
        await asyncio.to_thread(_append, self.path, data)


def _append(path: str, data: bytearray) -> None:
    with open(path, "ab") as file:
        file.write(data)


def make(directory: str, names: Iterable[str]) -> None:
    """Make the pipes; whose they are is for the caller to say."""
    os.mkdir(directory, 0o700)
    for name in names:
        os.mkfifo(f"{directory}/{name}", 0o600)


@contextlib.asynccontextmanager
async def doors(
    directory: str, kept: str, names: Mapping[str, int], spawn: Callable[..., asyncio.Task[None]]
) -> AsyncIterator[Mapping[str, Door]]:
    """Open them (name: bytes at most) and read until the block is left and everybody else who had them open has gone."""
    os.mkdir(kept, 0o700)
    found = {name: Door(name, f"{kept}/{name}", limit) for name, limit in names.items()}
    reading = []
    try:
        with contextlib.ExitStack() as own:
            for name, door in found.items():
                door.pipe = os.open(f"{directory}/{name}", os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
                reading.append(spawn(door.read()))
                # As long as we have it open too, a build that closes it early, or opens it late, ends nothing.
                own.callback(os.close, os.open(f"{directory}/{name}", os.O_WRONLY | os.O_CLOEXEC))
            yield found
        await asyncio.gather(*reading)
    finally:
        for task in reading:
            task.cancel()
        await asyncio.gather(*reading, return_exceptions=True)
        for door in found.values():
            door.hang_up()  # one that was cancelled before it began
