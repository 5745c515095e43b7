"""docs/router.md says what is so: each code with its status and its tests, each setting with its default."""

import ast
import pathlib
import re
from dataclasses import fields

from dynod.core import acme
from dynod.model.settings import Settings
from router.reasons import Failure

ROOT = pathlib.Path(__file__).parents[2]
TEXT = (ROOT / "docs/router.md").read_text()
CODES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in TEXT.splitlines()
    if re.match(r"\| H\d\d \|", line)
]
HEROKUS = {
    *(f"H{number}" for number in range(10, 29)),
    "H31", "H32", "H33", "H34", "H80", "H81", "H82", "H83", "H99",
}  # fmt: skip
NOT_TOLD = {"H24", "H33"}  # no status is in the log


def functions(*where):
    files = [file for each in where for file in sorted((ROOT / each).glob("test_*.py"))]
    trees = [ast.parse(file.read_text()) for file in files]
    return {node.name for tree in trees for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_code_of_herokus_list_has_a_row_and_no_other():
    assert {code for code, *_ in CODES} == HEROKUS == {each.value.code for each in Failure if each.value.code}


def test_every_code_that_can_occur_names_tests_that_exist_and_the_others_a_reason():
    known = functions("tests/router", "tests/e2e")
    for code, status, when, tests in CODES:
        named = re.findall(r"`(test_\w+)`", tests)
        if when.startswith("cannot occur: "):
            assert (status, named) == ("", []), code
        else:
            assert named, code
            assert set(named) <= known, code


def test_the_statuses_are_those_of_the_table_of_reasons():
    for code, status, when, _ in CODES:
        if status.isdigit():
            statuses = {each.value.status for each in Failure if each.value.code == code}
            assert int(status) in statuses
            assert {number for number in statuses if str(number) not in f"{status} {when}"} == set(), code
        else:
            assert (status == "none") is (code in NOT_TOLD), code


def test_only_codes_that_can_occur_are_raised_somewhere():
    source = "".join(file.read_text() for file in (ROOT / "router").glob("*.py") if file.name != "reasons.py")
    for code, _, when, _ in CODES:
        raised = re.search(rf"Failure\.{code}\b|Failure\.{code}_", source) is not None
        raised = raised or code == "H17"  # a DynoFault's own
        assert raised is not when.startswith("cannot occur"), code


def test_every_setting_of_the_router_is_there_with_its_default():
    said = dict(re.findall(r"^\| `(router_\w+)` \| (\d+) \|", TEXT, re.MULTILINE))
    defaults = {each.name: each.default for each in fields(Settings) if each.name.startswith("router_")}
    for key in ("router_workers", "router_tls"):
        del defaults[key]
    assert {key: float(value) for key, value in said.items()} == {
        key: float(value) for key, value in defaults.items()
    }


def test_every_setting_of_automatic_certificates_is_there():
    named = {field.name for field in fields(Settings) if field.name.startswith("acme_")}
    assert {name for name in named if f"`{name}`" not in TEXT} == set()
    assert (acme.FIRST_PAUSE, acme.LONGEST_PAUSE, acme.GIVEN_UP) == (600, 86_400, 6)
