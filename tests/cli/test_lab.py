"""Times as they are typed, and how time is moved."""

import pytest

from dynod.cli.lab import seconds
from dynod.cli.options import Usage


@pytest.mark.parametrize(
    ("text", "count"), [("90s", 90), ("24h", 86_400), ("1d2h30m5s", 95_405), ("-30m", -1800), ("0s", 0)]
)
def test_a_time_as_it_is_typed(text, count):
    assert seconds(text) == count


@pytest.mark.parametrize("text", ["", "24", "h", "1.5h", "24h ", "--1h", "1w", "\u0661h"])
def test_what_is_no_time(text):
    with pytest.raises(Usage, match="must look like 24h"):
        seconds(text)


def test_time_is_moved_and_said(control, type_in):
    control.answers["lab.advance"] = {"now": "2026-11-22T12:00:00Z"}
    assert type_in("lab:advance 24h") == (0, "It is 2026-11-22T12:00:00Z here now\n", "")
    assert control.asked("lab.advance") == {"body": {"seconds": 86_400, "wall_only": False}}
    control.calls.clear()
    assert type_in("lab:advance --wall -- -24h")[0] == 0
    assert control.asked("lab.advance") == {"body": {"seconds": -86_400, "wall_only": True}}
