"""Which uid each dyno runs as: one that no living dyno has, and that no dyno had for as long as possible.

Whoever restarts reads the uids of living dynos from the dyno host's list and calls `hold` for each.
"""

from collections import deque

from dynod.model.refused import Refusal, Refused


class Uids:
    """The uids `first` to `first + count - 1`."""

    def __init__(self, first: int, count: int) -> None:
        self._range = range(first, first + count)
        self._free = deque(self._range)
        self._held: set[int] = set()

    def take(self) -> int:
        """Hold the uid that was free for longest; raise Refused(UNAVAILABLE)."""
        if not self._free:
            raise Refused(
                Refusal.UNAVAILABLE,
                f"all {len(self._range)} user ids are in use; stop other dynos, or set more of them in dynod.toml",
            )
        uid = self._free.popleft()
        self._held.add(uid)
        return uid

    def hold(self, uid: int) -> None:
        """Mark the uid of a dyno that lives already; raise ValueError for one held twice or not ours."""
        if uid not in self._range or uid in self._held:
            raise ValueError(f"cannot hold uid {uid}: it is held already or not one of {self._range}")
        self._free.remove(uid)
        self._held.add(uid)

    def give(self, uid: int) -> None:
        """Let go of a uid: it comes last in the row. Raise ValueError for one that is not held."""
        if uid not in self._held:
            raise ValueError(f"cannot give back uid {uid}: it is not held")
        self._held.remove(uid)
        self._free.append(uid)
