"""How long a dyno that crashed, or that could not be started at all, waits before it is started again (HEROKU.md 1.5).

The first crash is answered at once. A dyno that crashes again within ten minutes of its start waits 10 minutes, then 20, 40,
doubling up to 24 hours. One that was up for ten minutes begins anew. A release, a restart and a scale forget the count.

A dyno that could not be started (a full disk, no free uid, a slug that is gone) is no crash of the app: it is tried again after
a second, then two, four, up to two minutes, so that it runs soon after the cause is gone and costs little until then.
"""

STEADY = 600.0  # seconds up after which a crash counts as the first
FIRST_WAIT = 600.0
LONGEST_WAIT = 24 * 3600.0
FIRST_RELAUNCH, LONGEST_RELAUNCH = 1.0, 120.0


def crashes_after(crashes: int, lived: float) -> int:
    """Count one more crash of a dyno that ran for `lived` seconds."""
    return 1 if lived >= STEADY else crashes + 1


def wait_before_retry(crashes: int) -> float:
    """Seconds to wait after the `crashes`-th crash in a row; 0 for the first."""
    if crashes <= 1:
        return 0.0
    return float(min(FIRST_WAIT * 2 ** min(crashes - 2, 32), LONGEST_WAIT))


def wait_before_relaunch(failures: int) -> float:
    """Seconds to wait after the `failures`-th launch in a row that failed."""
    return float(min(FIRST_RELAUNCH * 2 ** min(failures - 1, 32), LONGEST_RELAUNCH))
