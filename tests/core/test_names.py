"""Random names."""

import re

from dynod.core.names import NAMES, draw_name
from dynod.model.app import app_name


def test_every_number_gives_a_good_name() -> None:
    for number in (*range(0, NAMES, NAMES // 5000), 89_999, 90_000, NAMES - 1, NAMES, 2**64):
        name = draw_name(number)
        assert app_name(name) == name
        assert re.fullmatch(r"[a-z]+-[a-z]+-[1-9][0-9]{4}", name)


def test_names_differ_until_numbers_run_out() -> None:
    step = NAMES // 5000
    assert len({draw_name(number) for number in range(0, NAMES, step)}) == len(range(0, NAMES, step))
    assert draw_name(NAMES) == draw_name(0)
