"""Every case of vegur's list has its test, and docs/router.md names the ones in which we differ."""

import ast
import pathlib

from tests.router.vegur import CASES

HERE = pathlib.Path(__file__).parent
WHERE = [HERE / f"test_vegur_{part}.py" for part in ("bodies", "messages", "routing")]


def ticked() -> set[str]:
    """The cases that tests name: as id of a row, as a function's name, or at the beginning of a function's words."""
    found = set()
    for file in WHERE:
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Call(func=ast.Name("Row" | "bad"), args=[ast.Constant(str(case)), *_]):
                    found.add(case)
                case ast.Call(func=ast.Attribute(attr="param"), keywords=words):
                    found |= {word.value.value for word in words if word.arg == "id"}
                case ast.FunctionDef(name=name):
                    found |= {case for case in every() if name == f"test_{case.replace('.', '_')}"}
                    said = ast.get_docstring(node) or ""
                    found |= set(said.partition(":")[0].split(", ")) & every()
    return found


def every() -> set[str]:
    return {f"{group}.{case}" for group, cases in CASES.items() for case in cases.split()}


def test_every_case_of_vegurs_list_has_its_test():
    assert every() - ticked() == set()


def test_no_test_ticks_off_a_case_that_is_not_on_the_list():
    rows = {case for case in ticked() if "." in case}
    assert rows - every() == set()
    assert len(every()) == 132
