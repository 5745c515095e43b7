"""How much one dyno may log, pure: an allowance that fills up with time, and an honest count of what went beyond it.

A line costs one, or its kibibytes if these are more. The allowance holds BURST seconds' worth; a turn that costs more than is left is still
taken, and paid off before the next: over time no dyno gets more than its rate. Beyond it lines are dropped and told as Heroku's log-shuttle
does (HEROKU.md 5.3, L12): the app is never made to wait for its log.
"""

from dynod.logplex.records import Record
from dynod.model.codes import l12

RATE = 2_000  # lines or kibibytes a second, of one dyno
BURST = 10.0  # seconds of the rate that may come at once
NO_LIMIT = 0


def overflow(process: str, dropped: int, since: int, at: int) -> Record:
    """The line that tells of the loss, times in microseconds; it bears the dyno's name, where Heroku's says log-shuttle."""
    return Record(at, "heroku", process, l12(dropped, since))


class Allowance:
    """One dyno's. `now` is in seconds, of a clock that nobody sets; `rate` NO_LIMIT lets everything pass."""

    def __init__(self, rate: int, now: float) -> None:
        self._rate = rate
        self._left = rate * BURST
        self._at = now
        self._dropped = 0
        self._since = 0

    def limit(self, rate: int) -> None:
        """Set another rate; what was allowed under the old one is cut to the new one's burst."""
        self._rate = rate
        self._left = min(self._left, rate * BURST)

    def allows(self, now: float) -> bool:
        """Whether lines may pass now."""
        if self._rate == NO_LIMIT:
            return True
        self._left = min(self._left + max(0.0, now - self._at) * self._rate, self._rate * BURST)
        self._at = now
        return self._left > 0

    def spend(self, lines: int, size: int) -> None:
        """Lines of `size` bytes have passed."""
        self._left -= max(lines, size / 1024)

    def drop(self, lines: int, at: int) -> bool:
        """Lines did not pass, at this time of the wall's clock in microseconds; return whether they are the first since `told`."""
        first = not self._dropped
        self._since = at if first else self._since
        self._dropped += lines
        return first and lines > 0

    def told(self) -> tuple[int, int]:
        """How many were dropped, and since when; from now on it is counted anew."""
        dropped, self._dropped = self._dropped, 0
        return dropped, self._since
