"""Config vars: what is a change, how it is told, and each refusal."""

import pytest

from dynod.core.config_vars import CONFIG_BYTES, boot_timeout, changed
from dynod.model.refused import Refusal, Refused

TOLD = [
    ({}, {"A": "1"}, {"A": "1"}, "Set A config vars"),
    ({}, {"B": "2", "A": "1"}, {"B": "2", "A": "1"}, "Set B, A config vars"),
    ({"A": "1"}, {"A": "2"}, {"A": "2"}, "Set A config vars"),
    ({"A": "1", "B": "2"}, {"A": None}, {"B": "2"}, "Remove A config vars"),
    ({"A": "1", "B": "2"}, {"B": None, "A": None}, {}, "Remove B, A config vars"),
    ({"A": "1"}, {"B": "2", "A": None, "C": "3"}, {"B": "2", "C": "3"}, "Set B, C and remove A config vars"),
    ({"A": "1"}, {"A": "1", "B": "2"}, {"A": "1", "B": "2"}, "Set B config vars"),
    ({"A": "1"}, {"A": None, "X": None}, {}, "Remove A config vars"),
    ({}, {"_A1": "line one\nline two é \t"}, {"_A1": "line one\nline two é \t"}, "Set _A1 config vars"),
    ({}, {"PORT": "", "1A": "x"}, {"PORT": "", "1A": "x"}, "Set PORT, 1A config vars"),
]


@pytest.mark.parametrize(("config", "changes", "after", "description"), TOLD)
def test_a_change_is_told(config, changes, after, description) -> None:
    assert changed(config, changes) == (after, description)


@pytest.mark.parametrize("changes", [{}, {"A": "1"}, {"B": None}, {"__B": None}, {"A": "1", "B": None}])
def test_nothing_changes(changes) -> None:
    assert changed({"A": "1"}, changes) is None


NAME = "its name may hold only letters, digits and underscores, and not be empty"
REFUSED = [
    ("", "x", f"cannot set config var '': {NAME}"),
    ("A-B", "x", f"cannot set config var 'A-B': {NAME}"),
    ("A B", "x", f"cannot set config var 'A B': {NAME}"),
    ("A=B", "x", f"cannot set config var 'A=B': {NAME}"),
    ("A\n", "x", f"cannot set config var 'A\\n': {NAME}"),
    ("É", "x", f"cannot set config var 'É': {NAME}"),
    ("__A", "x", "cannot set config var '__A': its name must not start with two underscores"),
    (
        "HEROKU_A",
        "x",
        "cannot set config var 'HEROKU_A': names that start with HEROKU_ are the platform's own",
    ),
    ("A", "x\0y", "cannot set config var 'A': its value must not hold a NUL character"),
    ("A", "x\ud800", "cannot set config var 'A': its value must be text that UTF-8 can write"),
]


@pytest.mark.parametrize(("key", "value", "text"), REFUSED)
def test_what_cannot_be_set(key, value, text) -> None:
    with pytest.raises(Refused) as caught:
        changed({}, {"GOOD": "1", key: value})
    assert (caught.value.refusal, caught.value.message) == (Refusal.INVALID, text)


def test_all_together_have_a_limit() -> None:
    """Bytes count, not characters; what is removed by the same change does not."""
    full = {"A": "é" * (CONFIG_BYTES // 2 - 1), "B": ""}
    assert changed({}, full) is not None
    with pytest.raises(Refused) as caught:
        changed(full, {"B": "x"})
    assert caught.value.message == (
        "cannot set config vars: names and values would take 65537 bytes together, and an app may have 65536; "
        "remove some, or keep large values elsewhere"
    )
    assert changed(full, {"B": "x", "A": None}) == ({"B": "x"}, "Set B and remove A config vars")


@pytest.mark.parametrize(("value", "seconds"), [("1", 1), ("120", 120), ("180", 180), ("090", 90)])
def test_an_app_may_have_a_boot_timeout_of_its_own(value, seconds) -> None:
    assert changed({}, {"DYNOD_BOOT_TIMEOUT": value}) is not None
    assert boot_timeout({"DYNOD_BOOT_TIMEOUT": value}, 60.0) == seconds


@pytest.mark.parametrize("value", ["", "0", "181", "999", "-1", "1.5", "1e2", "²", "0180", "soon"])
def test_no_other_boot_timeout_can_be_set_and_one_that_is_there_counts_as_none(value) -> None:
    with pytest.raises(Refused) as caught:
        changed({}, {"DYNOD_BOOT_TIMEOUT": value})
    assert caught.value.message == (
        "cannot set config var 'DYNOD_BOOT_TIMEOUT': its value must be whole seconds, from 1 to 180"
    )
    assert boot_timeout({"DYNOD_BOOT_TIMEOUT": value}, 60.0) == 60.0
    assert boot_timeout({}, 60.0) == 60.0
