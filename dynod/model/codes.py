"""R-codes: what the dyno manager says when a dyno misbehaves (HEROKU.md 1.2). L-codes: what the log says of lines it lost (5.3).

H-codes live in router/reasons.py.
"""

from datetime import UTC, datetime
from enum import Enum


class RCode(Enum):
    """The log's exact text behind `Error `."""

    R10 = "R10 (Boot timeout) -> Web process failed to bind to $PORT within {seconds} seconds of launch"
    R12 = "R12 (Exit timeout) -> At least one process failed to exit within {seconds} seconds of SIGTERM"
    R13 = "R13 (Attach error) -> Failed to attach to process"
    R14 = "R14 (Memory quota exceeded)"
    R15 = "R15 (Memory quota vastly exceeded)"
    R16 = "R16 (Detached) -> An attached process is not responding to SIGHUP after its external connection was closed."
    R17 = "R17 (Checksum error) -> Checksum does match expected value. Expected: SHA256:{expected} Actual: SHA256:{actual}"


def l11(dropped: int, since: int) -> str:
    """Tell a listener how many lines it was too slow for, since when in microseconds."""
    when = datetime.fromtimestamp(since // 1_000_000, UTC).isoformat()
    return f"Error L11 (Tail buffer overflow) -> This tail session dropped {dropped} messages since {when}."


def l12(dropped: int, since: int) -> str:
    """Tell an app how many of its lines were lost on their way, since when in microseconds."""
    when = datetime.fromtimestamp(since / 1_000_000, UTC).isoformat(timespec="microseconds")
    return f"Error L12: {dropped} messages dropped since {when}."
