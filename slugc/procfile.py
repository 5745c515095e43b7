"""The Procfile (HEROKU.md 3.6) and what the transcript says of it. Pure."""

import re
from collections.abc import Mapping

from slugc.failure import BuildFailed
from slugc.output import alarm, note, push_failed, topic

_LINE = re.compile(r"([A-Za-z0-9_-]+):[ \t]*(\S.*)")
_SHOWN, _MOST_TOLD = 60, 3  # of a line, and of lines, in a warning
_TYPE_LENGTH = 128  # platform-api-schema.json, as dynod.model.formation has it


def parse(text: str) -> dict[str, str]:
    """Read process types; lines of any other form are no process type, a later duplicate wins. Raise BuildFailed.

    Heroku takes the carriage returns of a file from Windows into the commands, which then fail; we drop them.
    """
    types: dict[str, str] = {}
    for line in text.removeprefix("\ufeff").split("\n"):
        found = _LINE.fullmatch(line.strip())
        if found is None:
            continue
        name = found[1]
        if len(name) > _TYPE_LENGTH:
            raise BuildFailed(
                push_failed(
                    alarm(f"cannot read Procfile: the process type {name[:20]}... is longer than 128 letters")
                )
            )
        types[name] = found[2].rstrip()
    return types


def left_out(text: str) -> str:
    """Warn of lines that are no process type, which Heroku passes over in silence; '' where there are none."""
    lines = enumerate(text.removeprefix("\ufeff").split("\n"), 1)
    odd = [(number, line.strip()) for number, line in lines if _odd(line.strip())]
    told = [
        f"Warning: line {number} of the Procfile is no `type: command` and is left out: {line[:_SHOWN]!r}"
        for number, line in odd[:_MOST_TOLD]
    ]
    if len(odd) > _MOST_TOLD:
        told.append(f"and {len(odd) - _MOST_TOLD} more lines")
    return alarm("\n".join(told)) if told else ""


def _odd(line: str) -> bool:
    return bool(line) and not line.startswith("#") and _LINE.fullmatch(line) is None


def filled(declared: Mapping[str, str], defaults: Mapping[str, str]) -> dict[str, str]:
    """Process types of the slug: a buildpack's defaults stand only where the Procfile is silent."""
    return dict(sorted({**defaults, **declared}.items()))


def discovery(declared: Mapping[str, str], defaults: Mapping[str, str]) -> str:
    """Say what was found, in Heroku's words."""
    names = ", ".join(sorted(declared)) or "(none)"
    added = ", ".join(sorted(set(defaults) - set(declared)))
    if not added:
        return f"{topic('Discovering process types')}\n{note(f'Procfile declares types -> {names}')}"
    return "\n".join(
        (
            topic("Discovering process types"),
            note(f"Procfile declares types     -> {names}"),
            note(f"Default types for buildpack -> {added}"),
        )
    )
