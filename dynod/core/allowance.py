"""How many API requests an account's token has left: 4,500 that refill over an hour, as Heroku counts them (HEROKU.md 7.1).

Nobody is refused on their own machine: at nothing it stays at nothing, and who looks at the number may slow down.
"""

from dataclasses import dataclass

MOST = 4500
PER_SECOND = MOST / 3600


@dataclass(frozen=True, slots=True)
class Allowance:
    """`left` were left at the time `at` (seconds of a clock that is not set)."""

    left: float = float(MOST)
    at: float = 0.0

    def now(self, at: float) -> "Allowance":
        """What it has refilled to."""
        return Allowance(min(float(MOST), self.left + max(at - self.at, 0.0) * PER_SECOND), at)

    def spent(self, at: float) -> "Allowance":
        """One request later."""
        now = self.now(at)
        return Allowance(max(now.left - 1, 0.0), at)
