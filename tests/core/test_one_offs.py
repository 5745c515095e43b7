"""Concurrent one-offs: so many of each kind of size, and no more."""

import pytest

from dynod.core.lifecycle import Dyno, Kind, Phase
from dynod.core.one_offs import check_room
from dynod.model.app import AppId, AppName
from dynod.model.dyno import DynoId, dyno_name
from dynod.model.formation import dyno_size
from dynod.model.refused import Refusal, Refused


def running(text):
    """`3*run:Eco 1*release:Eco 2*web:Basic`: so many dynos of a type and a size; a `!` behind it for ended ones."""
    found = []
    for word in text.split():
        count, _, rest = word.partition("*")
        type_, _, size = rest.partition(":")
        for _ in range(int(count)):
            number = len(found) + 1
            found.append(
                Dyno(
                    id=DynoId(f"d{number}"),
                    app=AppId("a"),
                    name=dyno_name(f"{type_}.{number}"),
                    kind=Kind.FORMATION if type_ == "web" else Kind.ONE_OFF,
                    release="r",
                    version=3,
                    size=dyno_size(size.rstrip("!")).name,
                    command="true",
                    port=5000,
                    created=0.0,
                    entered=0.0,
                    launched=0.0,
                    cycle=0.0,
                    phase=Phase.ENDED if size.endswith("!") else Phase.UP,
                )
            )
    return found


@pytest.mark.parametrize(
    ("there", "size", "room"),
    [
        ("", "Eco", True),
        ("1*run:Eco", "Eco", False),
        ("1*run:Eco", "Basic", True),
        ("1*run:Eco!", "Eco", True),
        ("1*web:Eco", "Eco", True),
        ("1*release:Eco", "Eco", True),
        ("49*run:Basic", "Basic", True),
        ("50*run:Basic", "Basic", False),
        ("50*run:Basic", "Standard-1X", True),
        ("30*run:1X 20*run:2X", "Standard-1X", False),
        ("30*run:1X 19*clean:2X", "Standard-2X", True),
        ("4*run:Performance-M", "Performance-L", True),
        ("4*run:Performance-M 1*run:Performance-L", "Performance-2XL", False),
        ("5*run:Performance-M", "Standard-1X", True),
    ],
)
def test_room(there, size, room):
    dynos = running(there)
    if room:
        check_room(AppName("demo"), dynos, dyno_size(size))
        return
    with pytest.raises(Refused, match=r"one-off dyno of demo: \d+ run and at most \d+ may") as refused:
        check_room(AppName("demo"), dynos, dyno_size(size))
    assert refused.value.refusal is Refusal.INVALID
