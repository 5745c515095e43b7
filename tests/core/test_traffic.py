"""Counts of requests: buckets of latencies beside a naive twin, quantiles, merging."""

import math

from hypothesis import given
from hypothesis import strategies as st

from dynod.model.traffic import LONGEST, MOST_BUCKETS, Latency, Traffic, bucket, highest

TIMES = st.integers(0, 200_000)


def of(*times: int) -> Latency:
    latency = Latency()
    for ms in times:
        latency.note(ms, 1)
    return latency


def test_short_times_have_a_bucket_each_and_longer_ones_sixteen_to_a_doubling():
    assert [bucket(ms) for ms in range(32)] == list(range(32))
    assert [bucket(ms) for ms in (32, 33, 34, 63, 64, 67, 68)] == [32, 32, 33, 47, 48, 48, 49]
    assert bucket(-1) == 0
    assert bucket(LONGEST) == bucket(LONGEST * 10) == MOST_BUCKETS - 1
    assert MOST_BUCKETS == 384


@given(st.integers(0, LONGEST))
def test_a_bucket_knows_its_longest_time_which_is_little_more_than_any_in_it(ms):
    top = highest(bucket(ms))
    assert ms <= top <= ms * 17 / 16
    assert bucket(top) == bucket(ms)
    assert bucket(top + 1) == min(bucket(ms) + 1, MOST_BUCKETS - 1)


@given(st.lists(TIMES, min_size=1), st.sampled_from((0.0, 0.5, 0.95, 0.99, 1.0)))
def test_a_quantile_is_that_of_the_sorted_times_or_a_little_more(times, part):
    exact = sorted(times)[max(math.ceil(part * len(times)), 1) - 1]
    found = of(*times).quantile(part)
    assert exact <= found <= exact * 17 / 16


@given(st.lists(TIMES), st.lists(TIMES))
def test_two_histograms_add_up_to_that_of_all(some, others):
    merged = of(*some)
    merged.add(of(*others))
    assert merged == of(*some, *others)


def test_no_times_have_no_quantile():
    assert Latency().quantile(0.5) is None
    assert Latency().count == 0


def test_how_many_took_no_longer():
    latency = of(1, 5, 5, 100, 3000)
    assert [latency.within(ms) for ms in (0, 1, 5, 99, 250, 10_000)] == [0, 1, 3, 3, 4, 5]


def test_the_counts_of_two_workers_add_up():
    one = Traffic({200: 3, 503: 1}, {"H12": 1}, 10, 100, of(1, 2), of(0))
    one.add(Traffic({200: 1, 404: 2}, {"H12": 1, "H18": 4}, 1, 2, of(9), of(3)))
    assert one == Traffic({200: 4, 503: 1, 404: 2}, {"H12": 2, "H18": 4}, 11, 102, of(1, 2, 9), of(0, 3))
    assert one.requests == 7
    assert one.by_class() == {"1xx": 0, "2xx": 4, "3xx": 0, "4xx": 2, "5xx": 1}


def test_a_status_of_another_class_is_counted_as_such():
    assert Traffic({999: 1}).by_class()["9xx"] == 1
