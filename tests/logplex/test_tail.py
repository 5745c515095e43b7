"""dynod.logplex.tail: a listener's queue is bounded and says what it lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynod.logplex.records import Record
from dynod.logplex.tail import Tail, overflow
from dynod.model.log import LogQuery

SEP = 1_347_000_000_000_000


def line(at, text="x", process="web.1"):
    return Record(SEP + at * 1_000_000, "app", process, text)


def test_the_words_of_l11():
    assert overflow(1101, 1_338_499_290_123_456, 7) == Record(
        7,
        "heroku",
        "logplex",
        "Error L11 (Tail buffer overflow) -> This tail session dropped 1101 messages since 2012-05-31T21:21:30+00:00.",
    )


def test_lines_that_were_asked_for_come_numbered():
    tail = Tail(LogQuery("a", dyno="web"))
    assert tail.offer(0, [line(0), line(1, process="worker.1"), line(2)])
    assert tail.take() == [(0, line(0)), (2, line(2))]
    assert not tail.offer(3, [line(3, process="worker.1")])
    assert tail.take() == []


@pytest.mark.parametrize(("rows", "chars"), [(2, 99), (99, 2)])
def test_a_full_queue_counts_until_it_was_emptied(rows, chars):
    tail = Tail(LogQuery("a"), rows, chars)
    for number in range(5):
        tail.offer(number, [line(number)])
    assert tail.take() == [(0, line(0)), (1, line(1)), (1, overflow(3, line(2).at, line(1).at))]
    tail.offer(5, [line(5)])
    assert tail.take() == [(5, line(5))]


@given(st.lists(st.integers(0, 6), max_size=30))
def test_what_came_and_what_was_counted_is_all_there_was(steps):
    """0 takes, n offers n lines: no line is lost without being counted."""
    tail, number, seen, lost = Tail(LogQuery("a"), 5), 0, 0, 0
    for step in [*steps, 0]:
        if step:
            tail.offer(number, [line(number + i) for i in range(step)])
            number += step
            continue
        for _, record in tail.take():
            if record.process == "logplex":
                lost += int(record.text.split()[10])
            else:
                assert record == line(seen + lost)
                seen += 1
    assert seen + lost == number
