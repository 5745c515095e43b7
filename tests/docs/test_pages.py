"""The documents tell what is: pages made from tables are up to date, every promise has its file, nothing names a private place."""

import importlib.util
import re
import shlex
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def writer():
    spec = importlib.util.spec_from_file_location("write_docs", ROOT / "docs" / "write.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["cli.md", "api.md"])
def test_a_page_made_from_a_table_is_up_to_date(name):
    assert (ROOT / "docs" / name).read_text() == writer().PAGES[name](), "run make docs"


def test_every_verb_and_every_word_is_documented():
    from dynod.__main__ import WORDS
    from dynod.cli.verbs import VERBS

    text = (ROOT / "docs" / "cli.md").read_text()
    for verb in VERBS:
        assert f"### {verb.name}\n" in text
    for word in WORDS:
        assert f"| `{word}` |" in text


def test_every_operation_and_stream_is_documented():
    from dynod.api.operations import OPERATIONS, STREAMS

    text = (ROOT / "docs" / "api.md").read_text()
    for row in (*OPERATIONS, *STREAMS):
        assert f"| `{row.name}` |" in text


def test_every_key_of_dynod_toml_is_documented_with_its_default():
    from dynod.host.config import from_toml
    from dynod.model.settings import Settings

    text = (ROOT / "docs" / "settings.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (?:`(.*?)` )?\|", text, re.MULTILINE))
    said = {key: default for key, default in rows.items() if default}
    assert {*rows, "sizes"} == {field.name for field in fields(Settings)}
    assert "| `[sizes.NAME]` |" in text
    for key, default in said.items():
        assert from_toml(f"{key} = {default}", "the page")[key] == getattr(Settings(), key), key
    assert not any(getattr(Settings(), key) for key in rows.keys() - said.keys())


def test_the_version_is_one():
    from dynod.model.spoken import VERSION

    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION


def test_readme_gives_the_two_commands_and_the_line_that_brings_make():
    text = (ROOT / "README.md").read_text()
    for target in ("run", "test"):
        assert f"apt-get install -y make && make {target}\n" in text


PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_document_names_is_there(page):
    text = page.read_text()
    for name in re.findall(
        r"(?<![/\w.])((?:dynod|router|slugc|docs|tests|examples|systemd|lab)/[\w./]+\w)", text
    ):
        place = ROOT / name
        assert place.exists() or place.with_suffix(".py").exists(), name
    tests = list((ROOT / "tests").rglob("test_*.py"))
    known = {path.stem for path in tests} | {
        name for path in tests for name in re.findall(r"def (test_\w+)", path.read_text())
    }
    assert set(re.findall(r"\b(test_\w*[a-z0-9])(?![\w*])", text)) <= known
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= set(targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_document_tells_to_type_can_be_typed(page):
    """Lines of its examples whole, what stands in a sentence by its verb."""
    from dynod.__main__ import WORDS
    from dynod.cli.options import parse
    from dynod.cli.verbs import BY_NAME

    text = page.read_text()
    assert set(re.findall(r"`dyno ([a-z:]+)", text)) <= set(BY_NAME)
    assert set(re.findall(r"`dynod ([a-z]+)", text)) <= set(WORDS)
    for example in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        for line in re.findall(r"^dyno (.*)$", example, re.MULTILINE):
            verb, *words = shlex.split(line, comments=True)
            parse(BY_NAME[verb], words)


def test_every_package_has_its_line_in_the_code_map():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    for package in sorted((ROOT / "dynod").iterdir()):
        if (package / "__init__.py").exists():
            assert f"`dynod/{package.name}/`" in text or f"`dynod/{package.name}`" in text, package.name


@pytest.mark.parametrize(
    ("name", "module", "operation"),
    [
        (
            "host.sock",
            "dynod/jail/door.py",
            r'^            "([a-z-]+)": self\._[a-z_]+,$|if name == "([a-z]+)"',
        ),
        ("net.sock", "dynod/net/__main__.py", r'^            case "([a-z]+)":'),
        ("logplex.sock", "dynod/logplex/door.py", r'^            case "([a-z]+)":'),
    ],
)
def test_every_word_of_a_socket_stands_in_its_row(name, module, operation):
    """What its door takes, and the word that each conversation begins with."""
    (row,) = re.findall(rf"^\| {re.escape(name)} \|.*$", (ROOT / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    found = re.findall(operation, (ROOT / module).read_text(), re.MULTILINE)
    taken = {"".join(each) for each in found} | {"hello"}
    assert taken - {"lines"} == set(re.findall(r"`([a-z-]+)`", row)) - {"lines"}
