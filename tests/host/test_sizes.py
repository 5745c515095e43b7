"""Sizes of one's own in dynod.toml: what may stand there, and which word of it is at fault."""

import pytest

from dynod.host.config import BadSettings, from_toml
from dynod.host.sizes import amount
from dynod.model.formation import MIB, DynoSize

SMALL = '[sizes.small]\nmemory = "128MB"\n'


def test_a_size_needs_its_memory_and_the_rest_has_defaults():
    (small,) = from_toml(SMALL, "x.toml")["sizes"]
    assert small == DynoSize("small", 128 * MIB, 1, 256, 100, 0)


def test_all_that_can_be_said_of_a_size():
    text = (
        'warm = 2\n[sizes.Big-One]\nmemory = "1.5 GB"\ncpu = 100\nprocesses = 8\ndynos = 3\ndisk = "64MB"\n'
        + SMALL
    )
    found = from_toml(text, "x.toml")
    assert found["warm"] == 2
    assert found["sizes"] == (
        DynoSize("Big-One", 1536 * MIB, 100, 8, 3, 0, disk=64 * MIB),
        DynoSize("small", 128 * MIB, 1, 256, 100, 0),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sizes = 3", "cannot use sizes in x.toml: each has a table of its own, such as [sizes.small]"),
        ('[sizes]\nsmall = "128MB"', "cannot use sizes in x.toml: each has a table of its own"),
        ("[sizes.small]", "cannot use sizes.small in x.toml: it needs memory"),
        ('[sizes.small]\nmemory = "128"', "sizes.small.memory = '128' in x.toml: it must be a text such as '512MB'"),
        ("[sizes.small]\nmemory = 134217728", "sizes.small.memory = 134217728 in x.toml: it must be a text"),
        ('[sizes.small]\nmemory = "31MB"', "from 32MB to 16TB"),
        ('[sizes.small]\nmemory = "17TB"', "from 32MB to 16TB"),
        ('[sizes.small]\nmemory = "-1GB"', "sizes.small.memory = '-1GB' in x.toml"),
        (SMALL + "cpu = 0", "sizes.small.cpu = 0 in x.toml: it must be a whole number from 1 to 100"),
        (SMALL + "cpu = 101", "sizes.small.cpu = 101 in x.toml: it must be a whole number from 1 to 100"),
        (SMALL + "cpu = 1.5", "sizes.small.cpu = 1.5 in x.toml"),
        (SMALL + "cpu = true", "sizes.small.cpu = True in x.toml"),
        (SMALL + "processes = 7", "sizes.small.processes = 7 in x.toml: it must be a whole number from 8 to 32768"),
        (SMALL + "dynos = 101", "sizes.small.dynos = 101 in x.toml: it must be a whole number from 1 to 100"),
        (SMALL + 'disk = "63MB"', "sizes.small.disk = '63MB' in x.toml: it must be a text such as '512MB' or '4GB', from 64MB"),
        (SMALL + "disk = 7", "sizes.small.disk = 7 in x.toml: it must be a text"),
        (SMALL + "swap = 1", "cannot use sizes.small.swap in x.toml: the keys are memory, cpu, processes"),
        ('[sizes.a]\nmemory = "1GB"', "cannot use sizes.a in x.toml: a size is named by 2 to 32 letters"),
        ('[sizes."3x"]\nmemory = "1GB"', "cannot use sizes.3x in x.toml: a size is named by"),
        ('[sizes.ECO]\nmemory = "1GB"', "cannot use sizes.ECO in x.toml: Heroku has a size of this name"),
        ('[sizes.hobby]\nmemory = "1GB"', "cannot use sizes.hobby in x.toml: Heroku has a size of this name"),
        (SMALL + '[sizes.SMALL]\nmemory = "1GB"', "cannot use sizes.SMALL in x.toml: it is there twice"),
    ],
)  # fmt: skip
def test_what_is_no_size_is_named_with_what_is_allowed(text, says):
    with pytest.raises(BadSettings, match=r"(?s).") as caught:
        from_toml(text, "x.toml")
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [("512MB", 512 * MIB), ("1.5GB", 1536 * MIB), ("2 TB", 2 * 1024**4), ("1gb", None), ("1.GB", None), (7, None)],
)  # fmt: skip
def test_amounts(text, bytes_):
    assert amount(text) == bytes_
