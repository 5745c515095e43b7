"""The formation: quantities, limits, sizes that mix, and what a deploy makes of it."""

import pytest
from ledger_samples import NAME, drawer, slug

from dynod.core.scaling import after_deploy, after_scale, changed_types
from dynod.model.formation import Formation, Scale, dyno_size, process_type
from dynod.model.refused import Refusal, Refused


def rows(text: str) -> tuple[Formation, ...]:
    """`web@2:Standard-1X worker@1:Eco`, as the log shows a formation."""
    found = []
    for word in text.split():
        type_, rest = word.split("@")
        quantity, size = rest.split(":")
        row = Formation(f"id-{type_}", process_type(type_), int(quantity), dyno_size(size), f"run {type_}")
        found.append(row)
    return tuple(found)


def wishes(text: str) -> list[Scale]:
    """`web=2 worker+1:Basic clock:Eco`, as a person asks."""
    found = []
    for word in text.split():
        left, _, size = word.partition(":")
        sign = next((sign for sign in "=+-" if sign in left), "")
        type_, _, quantity = left.partition(sign) if sign else (left, "", "")
        number = quantity if sign == "=" else sign + quantity
        found.append(Scale(process_type(type_), number or None, dyno_size(size) if size else None))
    return found


SCALED = {
    "a number": ("web@1:1X", "web=3", "web@3:1X"),
    "more": ("web@1:1X worker@0:1X", "worker+2", "web@1:1X worker@2:1X"),
    "fewer": ("web@3:1X", "web-1", "web@2:1X"),
    "never below none": ("web@3:1X", "web-5", "web@0:1X"),
    "in order": ("web@1:1X", "web+1 web+1 web-1", "web@2:1X"),
    "a size alone": ("web@2:1X worker@1:1X", "web:2X", "web@2:2X worker@1:1X"),
    "both": ("web@2:1X", "web=4:Performance-L", "web@4:Performance-L"),
    "neither": ("web@2:1X", "web", "web@2:1X"),
    "all there may be": ("web@1:1X worker@1:1X", "web=99", "web@99:1X worker@1:1X"),
    "standard and performance mix": ("web@1:1X worker@1:1X", "web:pm", "web@1:pm worker@1:1X"),
    "leaving eco takes all along": ("web@1:Eco worker@1:Eco", "web:Basic", "web@1:Basic worker@1:Basic"),
    "to the default of what mixes": ("web@1:Basic worker@1:Basic", "web=3:pl", "web@3:pl worker@1:1X"),
    "into basic, all named": ("web@1:1X worker@1:2X", "web:Basic worker:Basic", "web@1:Basic worker@1:Basic"),
    "into basic beside none": ("web@1:1X worker@0:2X", "web:Basic", "web@1:Basic worker@0:Basic"),
    "two eco dynos": ("web@1:Eco worker@0:Eco x@0:Eco", "worker=1", "web@1:Eco worker@1:Eco x@0:Eco"),
}


@pytest.mark.parametrize(("before", "asked", "after"), SCALED.values(), ids=SCALED.keys())
def test_scaled(before, asked, after) -> None:
    short = {"pm": "Performance-M", "pl": "Performance-L"}

    def spelled(text: str) -> str:
        return " ".join(
            f"{left}:{short.get(size, size)}" if size else left
            for left, _, size in (word.partition(":") for word in text.split())
        )

    assert after_scale(NAME, rows(spelled(before)), wishes(spelled(asked))) == rows(spelled(after))


REFUSED = [
    (
        "",
        "web=1",
        "cannot scale web: app demo has no such process type; it has none until something is deployed",
    ),
    (
        "web@1:1X worker@0:1X",
        "clock=1",
        "cannot scale clock: app demo has no such process type; it has web, worker",
    ),
    ("web@1:1X", "web=two", "cannot scale web to 'two': a quantity looks like 2, +1 or -1"),
    ("web@1:1X", "web=1.5", "cannot scale web to '1.5': a quantity looks like 2, +1 or -1"),
    ("web@1:1X", "web=1000000", "cannot scale web to '1000000': a quantity looks like 2, +1 or -1"),
    ("web@1:1X", "web=٢", "cannot scale web to '٢': a quantity looks like 2, +1 or -1"),
    (
        "web@1:Basic",
        "web=2",
        "cannot run 2 web dynos of size Basic: at most 1 per process type; ask for fewer or for another size",
    ),
    (
        "web@5:1X",
        "web+6:Performance-M",
        (
            "cannot run 11 web dynos of size Performance-M: at most 10 per process type; "
            "ask for fewer or for another size"
        ),
    ),
    (
        "web@1:1X worker@2:1X",
        "web=99",
        "cannot scale app demo to 101 dynos: an app may have 100 in all",
    ),
    (
        "a@1:Eco b@1:Eco c@0:Eco",
        "c=1",
        "cannot run 3 Eco dynos in app demo: at most 2 at a time; ask for fewer or for another size",
    ),
    (
        "web@1:1X worker@1:2X",
        "web:Eco",
        (
            "cannot run web as Eco beside worker as Standard-2X: Eco dynos mix with no other size; "
            "give all process types sizes that mix"
        ),
    ),
    (
        "web@0:1X worker@0:1X",
        "web:2X worker:Basic",
        (
            "cannot run web as Standard-2X beside worker as Basic: Basic dynos mix with no other size; "
            "give all process types sizes that mix"
        ),
    ),
    (
        "web@1:Eco worker@1:Eco",
        "web:Basic worker:Eco",
        (
            "cannot run web as Basic beside worker as Eco: Basic dynos mix with no other size; "
            "give all process types sizes that mix"
        ),
    ),
]


@pytest.mark.parametrize(("before", "asked", "text"), REFUSED)
def test_what_cannot_be_had(before, asked, text) -> None:
    with pytest.raises(Refused) as caught:
        after_scale(NAME, rows(before), wishes(asked))
    assert caught.value.message == text
    missing = "no such process type" in text
    assert caught.value.refusal is (Refusal.NOT_FOUND if missing else Refusal.INVALID)


def deployed(before: str, **types: str) -> str:
    found = after_deploy(rows(before), slug(**types), drawer("new"))
    return " ".join(f"{row.type}@{row.quantity}:{row.size.name}={row.command}#{row.id}" for row in found)


def test_the_first_deploy_starts_one_web_dyno() -> None:
    assert deployed("", worker="w", web="s", release="r") == (
        "release@0:Standard-1X=r#new1 web@1:Standard-1X=s#new2 worker@0:Standard-1X=w#new3"
    )
    assert deployed("", worker="w") == "worker@0:Standard-1X=w#new1"


def test_later_deploys_keep_what_is_scaled() -> None:
    """Types stay with their size, ids and number, new ones start at none, those the slug lacks go; commands follow."""
    assert deployed("old@2:1X web@3:2X", web="new serve", clock="c") == (
        "clock@0:Standard-1X=c#new1 web@3:Standard-2X=new serve#id-web"
    )
    assert deployed("worker@1:1X", web="s", worker="w") == (
        "web@0:Standard-1X=s#new1 worker@1:Standard-1X=w#id-worker"
    )


def test_new_types_take_a_size_that_mixes() -> None:
    assert deployed("web@1:Basic", web="s", clock="c") == "clock@0:Basic=c#new1 web@1:Basic=s#id-web"


def test_without_a_slug_nothing_runs() -> None:
    assert after_deploy(rows("web@1:1X"), None, drawer()) == ()


def test_a_scale_names_the_types_that_it_changed():
    before = rows("web@1:Standard-1X worker@2:Standard-1X clock@1:Standard-1X")
    after = rows("web@2:Standard-1X worker@2:Standard-2X clock@1:Standard-1X")
    assert changed_types(before, after) == {"web", "worker"}
    assert changed_types(after, after) == frozenset()
