"""Ids, names and chance: drawn here, and handed to core/ as values."""

import random
import uuid

from dynod.core.fleet import Draw
from dynod.core.names import draw_name
from dynod.model.app import AppName


def new_id() -> str:
    """A uuid that nothing else has."""
    return str(uuid.uuid4())


def new_name() -> AppName:
    """A name such as `brave-dune-12345`, which something else may have: the caller looks."""
    return draw_name(random.getrandbits(64))


DRAW = Draw(
    new_id=new_id,
    cycle=random.random,
    port=lambda: random.randint(3000, 59_999),
    number=lambda: random.randint(1000, 9999),
)
