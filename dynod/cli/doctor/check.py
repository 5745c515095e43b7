"""What a check of the doctor's returns, and how the checks look at the machine's files: what is not there is empty."""

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """`needed` False: the platform runs without it, with less."""

    name: str
    found: str
    ok: bool
    remedy: str = ""
    needed: bool = True


def lines(path: str) -> list[str]:
    """Return the lines of a file; none of one that cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def standing(path: str) -> str:
    """Return the directory, or the nearest one above it that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path
