"""Daily cycling: every dyno is replaced at 24 hours plus its own draw of 0 to 216 minutes (HEROKU.md 1.5)."""

DAY = 24 * 3600.0
SPREAD = 216 * 60.0


def cycle_at(started: float, draw: float) -> float:
    """When a dyno that started at `started` is cycled; `draw` is uniform in [0, 1)."""
    return started + DAY + SPREAD * draw
