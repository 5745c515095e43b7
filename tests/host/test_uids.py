"""No two living dynos with one uid, and the same one again as late as can be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.host.uids import Uids
from dynod.model.refused import Refusal, Refused


def test_all_are_handed_out_then_it_is_said_clearly():
    uids = Uids(200_000, 3)
    assert [uids.take() for _ in range(3)] == [200_000, 200_001, 200_002]
    with pytest.raises(Refused, match="all 3 user ids are in use") as refused:
        uids.take()
    assert refused.value.refusal is Refusal.UNAVAILABLE


def test_the_one_given_back_comes_last():
    uids = Uids(10, 3)
    uids.give(uids.take())
    assert [uids.take() for _ in range(3)] == [11, 12, 10]


def test_the_uid_of_a_dyno_that_lives_already_is_not_handed_out():
    uids = Uids(10, 3)
    uids.hold(10)
    assert [uids.take(), uids.take()] == [11, 12]


@pytest.mark.parametrize("uid", [10, 9, 13, 0])
def test_holding_twice_or_what_is_not_ours_is_a_bug(uid):
    uids = Uids(10, 3)
    uids.hold(10)
    with pytest.raises(ValueError, match="cannot hold uid"):
        uids.hold(uid)


def test_giving_back_what_is_not_held_is_a_bug():
    uids = Uids(10, 3)
    with pytest.raises(ValueError, match="it is not held"):
        uids.give(10)


@given(st.lists(st.integers(0, 9), max_size=60))
def test_never_one_uid_for_two(steps):
    """A step takes when it can and is even, and else gives the n-th back."""
    uids = Uids(100, 5)
    held = []
    for step in steps:
        if (step % 2 == 0 or not held) and len(held) < 5:
            uid = uids.take()
            assert uid not in held
            held.append(uid)
        else:
            uids.give(held.pop(step % len(held)))
