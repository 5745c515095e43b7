"""Random app names: `adjective-noun-12345` from a drawn integer."""

from dynod.model.app import AppName


def draw_name(number: int) -> AppName:
    """Turn any integer >= 0 into a name; equal numbers give equal names."""
    raise NotImplementedError
