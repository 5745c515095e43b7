"""What was observed of a dyno, as it is kept for who asks later."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observation:
    """`what` is a word of core/lifecycle.py's notes (`starting`, `stopping`, `crashed`...), `detail` free text, `at` epoch seconds."""

    dyno: str
    name: str
    app: str
    what: str
    at: float
    detail: str = ""
