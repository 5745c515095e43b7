"""Which Python an app gets."""

import pytest

from slugc.packs.commands import PackFailed
from slugc.packs.python.versions import Asked, Interpreter, choose, read_python_version, read_runtime_txt

STACK = (Interpreter("3.11.2", "/usr/bin/python3"), Interpreter("3.13.1", "/r/bin/python3", "/r"))


def test_the_files():
    assert read_runtime_txt("python-3.11.9\r\n") == Asked("3.11.9", "runtime.txt")
    assert read_python_version("# which\n 3.11 \n\n") == Asked("3.11", ".python-version")


@pytest.mark.parametrize("text", ["3.11", "python-3", "python-3.11.x", ""])
def test_a_bad_runtime_txt_is_refused(text):
    with pytest.raises(PackFailed, match=r"Invalid Python version in runtime\.txt"):
        read_runtime_txt(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "No Python version"),
        ("3.11\n3.12\n", "Multiple"),
        ("python-3.11", "Invalid"),
        ("3.11.*", "Invalid"),
        ("\u200b3.11", r"\\u200b3\.11"),
    ],
)
def test_a_bad_python_version_is_refused(text, said):
    with pytest.raises(PackFailed, match=said):
        read_python_version(text)


@pytest.mark.parametrize(
    ("version", "got"), [("3.11", "3.11.2"), ("3.11.2", "3.11.2"), ("3.11.9", "3.11.2"), ("3.13", "3.13.1")]
)
def test_the_newest_of_the_same_minor(version, got):
    assert choose(Asked(version, ".python-version"), STACK).version == got


def test_a_version_that_the_stack_lacks_is_refused_naming_what_it_has():
    with pytest.raises(PackFailed) as refused:
        choose(Asked("3.14", ".python-version"), STACK)
    assert "Python 3.14 is not available on this stack" in str(refused.value)
    assert "this stack has Python 3.11.2, 3.13.1" in str(refused.value)


def test_an_exact_runtime_wins_over_a_nearer_patch():
    stack = (*STACK, Interpreter("3.11.9", "/s/bin/python3", "/s"))
    assert choose(Asked("3.11.2", "runtime.txt"), stack).version == "3.11.2"
    assert choose(Asked("3.11", "runtime.txt"), stack).version == "3.11.9"
