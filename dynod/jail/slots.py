"""Slots: file systems of a fixed size, made ahead, each what one dyno after the other writes to (keeper.py makes and clears them).

For machines whose own file system knows no project quotas. A slot's size is the ceiling; a dyno that reaches it is told ENOSPC, and
nobody else notices. The pool keeps `size` of those shapes that were asked for last; a boot that finds none ready waits for the next. A slot
that fails, or that a dyno wrote much to, is thrown away with its image.
Rejected: one image for all, with btrfs's qgroups (cheaper; but what breaks it breaks every dyno); a tmpfs (counts as memory).
"""

import contextlib
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dynod.jail.child import Jobs
from dynod.jail.diary import say
from dynod.jail.keeper import again, keeper
from dynod.jail.loop import Loop
from dynod.jail.rest import Rest

SETTLE = 0.02  # seconds after a boot until the pool is filled
AT_ONCE = 4  # slots that the keeper was asked for
SPARE = 4  # how many times `size` are kept of those that come back

WAY_OUT = "see dynod doctor; disk_ceiling in dynod.toml says what else there is"

Shape = tuple[int, int]  # bytes and files


@dataclass(slots=True)
class Slot:
    """`root` is for looking; `tree` for the dyno, -1 once it was handed over. `free`: blocks and files when it was made, empty if nobody saw that."""

    image: str
    device: int
    shape: Shape
    free: list[int]
    root: int
    tree: int


class Slots:
    """`on_ready()` is called when one was made, `on_failed(why)` when one could not be."""

    def __init__(
        self,
        loop: Loop,
        directory: str,
        size: int,
        on_ready: Callable[[], None],
        on_failed: Callable[[str], None],
    ) -> None:
        """`directory`: where the images are, for us alone."""
        self._loop, self._directory, self._size = loop, directory, size
        self._on_ready, self._on_failed = on_ready, on_failed
        self._rest = Rest(loop, self._fill)
        self._keeper = Jobs(loop, "keeper of slots", keeper)
        self._idle: dict[Shape, deque[Slot]] = defaultdict(deque)
        self._growing: Counter[Shape] = Counter()
        self._usual: Shape | None = None
        self._made = 0
        self._closed = False

    @property
    def ready(self) -> int:
        return sum(map(len, self._idle.values()))

    @property
    def busy(self) -> bool:
        return self._keeper.busy

    def has(self, shape: Shape, waiting: int) -> bool:
        """Whether `take` has one; if not, some of the `waiting` are being made."""
        if self._idle[shape]:
            return True
        self._grow(shape, waiting)
        return False

    def take(self, shape: Shape) -> Slot:
        """Hand out one that is ready; its `tree` is the caller's to close."""
        self._usual = shape
        if len(self._idle[shape]) <= self._size:
            self._loop.after(SETTLE, self._fill)
        return self._idle[shape].popleft()

    def clear(self, slot: Slot, done: Callable[[], None]) -> None:
        """Remove what was written to a slot, and keep it for the next dyno or throw it away; then call done()."""

        def cleared(answer: dict[str, Any], fds: list[int]) -> None:
            if fds:
                (slot.tree,) = fds
            if fds and not self._closed and self.ready < max(1, SPARE * self._size):
                self._idle[slot.shape].append(slot)
                done()
                self._on_ready()
                return
            if why := answer["error"] or answer.get("worn"):
                say(f"throws {slot.image} away: {why}")
            self._drop(slot, done)

        if not slot.free:
            self._drop(slot, done)
            return
        asked = {"clear": slot.image, "device": slot.device, "free": slot.free}
        self._keeper.give(asked, cleared, [slot.root])

    def again(self, image: str, device: int, shape: Shape) -> Slot | None:
        """Take a slot that an earlier host handed out back into hand; None if its dyno is gone, and so it is."""
        try:
            _, (root,) = again(image, device)
        except OSError:
            return None
        return Slot(image, device, shape, [], root, -1)

    def forget_unknown(self, known: set[str]) -> None:
        """Remove images that an earlier host left and no dyno writes to; where the disk takes no writes, a later host does."""
        # The latter is told when one is to be made.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            for entry in list(os.scandir(self._directory)):
                if entry.path not in known and not entry.is_dir(follow_symlinks=False):
                    with contextlib.suppress(OSError):
                        os.unlink(entry.path)

    def close(self) -> None:
        """Throw away all that nobody uses, those too that come back from now on."""
        self._closed = True
        for idle in self._idle.values():
            while idle:
                self._drop(idle.popleft(), _nothing)

    def end(self) -> None:
        """Let the keeper go, once nothing is busy."""
        self._keeper.close()

    def remove(self) -> None:
        """After `end`, when no dyno is left: leave nothing."""
        self.forget_unknown(set())
        with contextlib.suppress(OSError):  # never made, or somebody else's things are in it
            os.rmdir(self._directory)

    def _fill(self) -> None:
        if self._usual is not None:
            self._grow(self._usual, self._size - len(self._idle[self._usual]))

    def _grow(self, shape: Shape, lacking: int) -> None:
        for _ in range(min(lacking, AT_ONCE) - self._growing[shape]):
            if not self._closed:
                self._make(shape)

    def _make(self, shape: Shape) -> None:
        self._made += 1
        image = f"{self._directory}/{os.getpid()}-{self._made}"
        self._growing[shape] += 1

        def made(answer: dict[str, Any], fds: list[int]) -> None:
            self._growing[shape] -= 1
            if answer["error"]:
                with contextlib.suppress(OSError):  # a keeper that was killed may have begun
                    os.unlink(image)
                self._fail(f"cannot make a file system for what it writes: {answer['error']}; {WAY_OUT}")
                return
            slot = Slot(image, answer["device"], shape, answer["free"], *fds)
            if self._closed:
                self._drop(slot, _nothing)
                return
            self._idle[shape].append(slot)
            self._on_ready()
            self._fill()

        asked = {"make": image, "shape": list(shape)}
        self._keeper.ask(asked, made)

    def _fail(self, why: str) -> None:
        self._rest.because(why)
        self._on_failed(why)

    def _drop(self, slot: Slot, done: Callable[[], None]) -> None:
        fds = [fd for fd in (slot.root, slot.tree) if fd >= 0]

        def dropped(answer: dict[str, Any], _: list[int]) -> None:
            if answer["error"]:
                say(f"cannot throw {slot.image} away, the next start will: {answer['error']}")
            done()

        self._keeper.hand_over({"drop": slot.image}, dropped, fds)


def _nothing() -> None:
    """Nobody waits."""
