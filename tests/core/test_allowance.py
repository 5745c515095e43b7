"""Requests that a token has left."""

from dynod.core.allowance import MOST, Allowance


def test_each_request_takes_one_and_each_eight_tenths_of_a_second_gives_one_back():
    one = Allowance().spent(10.0).spent(10.0)
    assert one.left == MOST - 2
    assert one.now(10.8).left == MOST - 1
    assert one.now(1000.0).left == MOST


def test_there_is_never_less_than_nothing():
    some = Allowance(0.5, 0.0).spent(0.0)
    assert some.left == 0
    assert some.spent(0.0).left == 0
    assert some.now(3600.0).left == MOST


def test_a_clock_that_stands_still_or_goes_back_gives_nothing():
    some = Allowance(7.0, 100.0)
    assert some.now(50.0).left == 7
