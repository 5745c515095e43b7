"""What the dyno host says of itself: lines on standard error, which systemd's journal or `dynod up` collects."""

import sys


def say(text: str) -> None:
    sys.stderr.write(f"dynod host: {text}\n")
    sys.stderr.flush()
