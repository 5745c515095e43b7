"""The dyno host's own lines: to whoever reads, never waiting for one who does not."""

import os

import pytest

from dynod.jail.diary import Diary


@pytest.fixture
def pipe():
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_a_line_is_written(pipe):
    Diary(pipe[1]).say("serves")
    assert os.read(pipe[0], 100) == b"dynod host: serves\n"


def test_nobody_reads_and_nothing_waits(pipe):
    diary = Diary(pipe[1])
    for number in range(10_000):  # more than a pipe takes
        diary.say(f"line {number}")
    read = os.read(pipe[0], 1 << 20)
    last = int(read.splitlines()[-1].split()[-1])
    diary.say("again")
    assert os.read(pipe[0], 1 << 20).decode() == (
        f"dynod host: {9_999 - last} lines found no reader\ndynod host: again\n"
    )
