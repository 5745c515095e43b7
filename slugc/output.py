"""The transcript's forms, to the letter (HEROKU.md 3.3): topics, continuation lines, alarms and sizes. Pure but for `say`."""

import sys

INDENT = "       "


def topic(text: str) -> str:
    """`-----> Text`."""
    return f"-----> {text}"


def note(text: str) -> str:
    """Continuation lines, seven spaces in."""
    return "\n".join(f"{INDENT}{line}".rstrip() for line in text.split("\n"))


def alarm(text: str) -> str:
    """Error and warning lines: ` !     text`."""
    return "\n".join(f" !     {line}".rstrip() for line in text.split("\n"))


def push_failed(text: str) -> str:
    """How every failed build ends: the reason, then the seal."""
    return f"{text}\n\n{alarm('Push failed')}"


def human_size(size: int) -> str:
    """Write bytes as the transcript does: 42.2M."""
    value = size / 1024
    for unit in "KMG":
        if value < 1000 or unit == "G":
            return f"{value:.1f}{unit}"
        value /= 1024
    raise AssertionError(size)


def say(text: str = "") -> None:
    """Print whole lines and flush, so that a program started next writes after them."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
