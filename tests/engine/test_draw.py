"""Chance, as dynos get it: each its own, and of the shape that Heroku's have."""

import uuid

from dynod.engine.chance import DRAW

MANY = 1000


def test_every_dyno_draws_a_time_of_its_day_for_itself():
    drawn = [DRAW.cycle() for _ in range(MANY)]
    assert all(0 <= each < 1 for each in drawn)
    assert len(set(drawn)) == MANY
    assert (min(drawn) < 0.1, max(drawn) > 0.9) == (True, True)


def test_ports_have_four_or_five_digits_and_numbers_four():
    ports, numbers = {DRAW.port() for _ in range(MANY)}, {DRAW.number() for _ in range(MANY)}
    assert len(ports) > MANY // 2
    assert all(1024 <= port <= 65_535 for port in ports)
    assert len(numbers) > MANY // 2
    assert all(1000 <= number <= 9999 for number in numbers)


def test_no_two_have_an_id():
    assert len({uuid.UUID(DRAW.new_id()) for _ in range(MANY)}) == MANY
