"""What a package.json asks for, read into a value. Pure: text in, Package out."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from slugc.packs.commands import PackFailed


@dataclass(frozen=True, slots=True)
class Package:
    """`node` and `npm` are ranges, '' where nothing is said."""

    node: str
    npm: str
    scripts: Mapping[str, str]
    has_dev_dependencies: bool

    @property
    def build_script(self) -> str:
        """The one that is run after the installation, or ''."""
        return next((name for name in ("heroku-postbuild", "build") if name in self.scripts), "")


def read(text: str) -> Package:
    """Read package.json; raise PackFailed."""
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except ValueError as error:
        raise PackFailed(f"Error: Unable to parse package.json.\n\n{error}") from error
    if not isinstance(value, dict):
        raise PackFailed("Error: Unable to parse package.json.\n\nIt must hold one JSON object.")
    engines = _strings(value.get("engines"))
    return Package(
        node=engines.get("node", "").strip(),
        npm=engines.get("npm", "").strip(),
        scripts=_strings(value.get("scripts")),
        has_dev_dependencies=bool(value.get("devDependencies")),
    )


def _strings(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        return {}
    return {str(key): each for key, each in value.items() if isinstance(each, str)}
