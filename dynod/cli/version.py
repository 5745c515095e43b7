"""The version, said once in model/spoken.py; a test holds it to pyproject.toml's. importlib.metadata would cost 20 ms of every start."""

from collections.abc import Sequence

from dynod.model.spoken import VERSION


def main(_argv: Sequence[str] = ()) -> int:
    """Print it."""
    print(f"dynod {VERSION}")
    return 0
