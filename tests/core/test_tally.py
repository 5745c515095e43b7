"""What a cgroup counted travels as JSON, between programs that may be of two versions."""

from dynod.model.tally import UNCOUNTED, Tally


def test_only_what_was_counted_is_said():
    tally = Tally(cpu_user=1.5, tasks_peak=7, memory_kills=0)
    assert tally.to_json() == {"cpu_user": 1.5, "tasks_peak": 7, "memory_kills": 0}
    assert Tally.from_json(tally.to_json()) == tally


def test_what_an_older_or_a_newer_program_says_is_read():
    assert Tally.from_json({}) == UNCOUNTED
    assert Tally.from_json({"tasks_peak": 7, "from_a_later_version": [1]}) == Tally(tasks_peak=7)
