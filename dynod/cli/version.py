"""The version, said once here; a test holds it to pyproject.toml's. importlib.metadata would cost 20 ms of every start."""

from collections.abc import Sequence

VERSION = "0.1.0"


def main(_argv: Sequence[str] = ()) -> int:
    """Print it."""
    print(f"dynod {VERSION}")
    return 0
