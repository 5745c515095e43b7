"""Which Python an app asks for and which of the stack's it gets. Pure: file texts and found interpreters in, a choice out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from slugc.packs.commands import PackFailed

_VERSION = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:\.(?:0|[1-9]\d*))?"


@dataclass(frozen=True, slots=True)
class Asked:
    """`version` is 3.11 or 3.11.9; `origin` the file that says so."""

    version: str
    origin: str

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


@dataclass(frozen=True, slots=True)
class Interpreter:
    """`version` 3.11.2. `home` is a directory to copy into the slug, or '' for one that is in every dyno's /usr."""

    version: str
    program: str
    home: str = ""

    @property
    def minor(self) -> str:
        return ".".join(self.version.split(".")[:2])


def read_runtime_txt(text: str) -> Asked:
    """Read `python-3.11.9`; raise PackFailed."""
    found = re.fullmatch(rf"python-({_VERSION})", "\n".join(_lines(text)))
    if found is None:
        raise PackFailed(
            "Error: Invalid Python version in runtime.txt.\n\n"
            "It must be of the form python-3.11. The file is deprecated: a .python-version file\n"
            "with 3.11 in it says the same."
        )
    return Asked(found[1], "runtime.txt")


def read_python_version(text: str) -> Asked:
    """Read the one version in a .python-version; raise PackFailed."""
    lines = _lines(text)
    if len(lines) != 1:
        what = "No Python version" if not lines else "Multiple Python versions"
        raise PackFailed(
            f"Error: {what} found in .python-version.\n\nIt must hold one version, such as 3.11."
        )
    if re.fullmatch(_VERSION, lines[0]) is None:
        shown = lines[0].encode("ascii", "backslashreplace").decode()[:60]
        raise PackFailed(
            "Error: Invalid Python version in .python-version.\n\n"
            f"The following version was found:\n{shown}\n\n"
            "It must be a major version such as 3.11 or an exact one such as 3.11.9,\n"
            "without quotes, a 'python-' prefix or wildcards."
        )
    return Asked(lines[0], ".python-version")


def choose(asked: Asked, interpreters: Sequence[Interpreter]) -> Interpreter:
    """The exact version if the stack has it, else its newest patch of the same 3.x; raise PackFailed naming what it has."""
    exact = [each for each in interpreters if each.version == asked.version]
    near = [each for each in interpreters if each.minor == asked.minor]
    if exact or near:
        return max(exact or near, key=lambda each: _numbers(each.version))
    has = sorted({each.version for each in interpreters}, key=_numbers)
    names = "Python " + ", ".join(has) if has else "no Python at all"
    way_out = (
        f"\n\nPut {has[-1].rpartition('.')[0]} into {_file(asked)} if your app runs on it." if has else ""
    )
    raise PackFailed(
        f"Error: Python {asked.version} is not available on this stack.\n\n"
        f"Your app asks for Python {asked.version} in {asked.origin}; this stack has {names}.{way_out}"
    )


def _file(asked: Asked) -> str:
    return "a .python-version file" if asked.origin == "runtime.txt" else asked.origin


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))


def _lines(text: str) -> list[str]:
    stripped = (line.strip() for line in text.split("\n"))
    return [line for line in stripped if line and not line.startswith("#")]
