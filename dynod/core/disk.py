"""A dyno whose disk is full, or broken: what is said of it, in its log. What finds out is the dyno host's (jail/looks.py)."""

from dynod.model.formation import GIB, MIB

BROKEN = "broken"
STOPPING = "Stopping process with SIGKILL"


def lines(fault: str, disk: int) -> tuple[str, ...]:
    """Say what befell a dyno with `disk` bytes for all that it writes."""
    if fault == BROKEN:
        return ("Disk failed: what the dyno wrote is in doubt, and the file system takes no more", STOPPING)
    return (f"Disk full: all of its {_size(disk)} are used, and writes fail with No space left on device",)


def _size(disk: int) -> str:
    return f"{disk / GIB:g}G" if disk >= GIB else f"{disk / MIB:g}M"
