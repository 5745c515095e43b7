"""How long a crashed dyno waits before it is started again (HEROKU.md 1.5).

The first crash is answered at once. A dyno that crashes again within ten minutes of its start waits 10 minutes, then 20, 40,
doubling up to 24 hours. One that was up for ten minutes begins anew. A release, a restart and a scale forget the count.
"""

STEADY = 600.0  # seconds up after which a crash counts as the first
FIRST_WAIT = 600.0
LONGEST_WAIT = 24 * 3600.0


def crashes_after(crashes: int, lived: float) -> int:
    """Count one more crash of a dyno that ran for `lived` seconds."""
    return 1 if lived >= STEADY else crashes + 1


def wait_before_retry(crashes: int) -> float:
    """Seconds to wait after the `crashes`-th crash in a row; 0 for the first."""
    if crashes <= 1:
        return 0.0
    return float(min(FIRST_WAIT * 2 ** min(crashes - 2, 32), LONGEST_WAIT))
