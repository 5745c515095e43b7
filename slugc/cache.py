"""CACHE_DIR: what an app's buildpacks keep between builds. They share it; a new stack empties it (HEROKU.md 3.2).

Our own note beside theirs remembers the stack, and the date that a source tree was packed with: the same tree pushed again
as another commit keeps its date, and so makes the same slug.
"""

import contextlib
import json
import os
import shutil
from dataclasses import dataclass

from slugc.source import Source

_NOTE = ".slugc.json"


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache that fits the stack. `cleared_of` is the stack it was emptied of just now, or ''."""

    directory: str
    stack: str
    digest: str
    epoch: int
    cleared_of: str

    def epoch_for(self, source: Source) -> int:
        """The date that the slug of `source` carries."""
        return self.epoch if source.digest == self.digest else source.newest

    def remember(self, source: Source) -> None:
        """Note the stack and the source's date; the build goes on if the cache cannot be written."""
        note = {"stack": self.stack, "digest": source.digest, "epoch": self.epoch_for(source)}
        path = f"{self.directory}/{_NOTE}"
        with contextlib.suppress(OSError):
            with open(f"{path}.new", "w", encoding="utf-8") as file:
                json.dump(note, file)
            os.replace(f"{path}.new", path)


def open_cache(directory: str, stack: str) -> Cache:
    """Look at CACHE_DIR, emptying it if it was filled on another stack. A note that cannot be read counts as none."""
    note = _read_note(directory)
    was = str(note.get("stack") or stack)
    if was != stack:
        _empty(directory)
        return Cache(directory, stack, "", 0, was)
    return Cache(directory, stack, str(note.get("digest") or ""), _number(note.get("epoch")), "")


def _read_note(directory: str) -> dict[str, object]:
    try:
        with open(f"{directory}/{_NOTE}", encoding="utf-8") as file:
            note = json.load(file)
    except (OSError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0


def _empty(directory: str) -> None:
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)
