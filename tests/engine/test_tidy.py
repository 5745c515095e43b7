"""Tidying: expired releases are written down, and what nothing needs goes from the disk while what is needed stays."""

import asyncio
import os
from types import SimpleNamespace

from core.test_retention import NOW, state

from dynod.core.ledger import Ledger
from dynod.engine import tidy as tidying
from dynod.engine.outputs import Outputs
from dynod.model.settings import Settings


class Slugs:
    """A store whose archives are files named by their hash."""

    def __init__(self, directory):
        self.directory = directory

    def archive(self, sha256):
        return str(self.directory / sha256)

    def stored(self):
        return set(os.listdir(self.directory))

    def remove(self, sha256):
        os.unlink(self.archive(sha256))


class BooksThatRemember:
    def __init__(self, ledger):
        self.ledger, self.written = ledger, []

    async def commit(self, actor, app, rule):
        self.written += rule(self.ledger)


def test_what_nothing_needs_goes_and_what_is_needed_stays(tmp_path):
    for name in ("slugs", "builds/gone", "stack/old", "stack/now", "output"):
        (tmp_path / name).mkdir(parents=True)
    for name, age in (("sha1", 7200), ("orphan", 7200), ("incoming", 7200), ("new", 0)):
        path = tmp_path / "slugs" / name
        path.touch()
        os.utime(path, (NOW - age, NOW - age))
    for name in ("r1", "nobody"):
        (tmp_path / "output" / name).touch()
    ledger = Ledger(apps={"a1": state(22)})
    books = BooksThatRemember(ledger)
    house = SimpleNamespace(
        now=lambda: SimpleNamespace(wall=NOW),
        ledger=ledger,
        books=books,
        owner=lambda: None,
        slugs=Slugs(tmp_path / "slugs"),
        outputs=Outputs(str(tmp_path / "output")),
        incoming={"incoming"},
        machine=SimpleNamespace(ground=SimpleNamespace(skeleton=str(tmp_path / "stack" / "now"))),
        plans={},
        settings=Settings(state=str(tmp_path)),
    )
    asyncio.run(tidying.tidy(house))
    assert [entry.id for entry in books.written] == ["r1", "r2"]
    assert house.slugs.stored() == {"sha1", "incoming", "new"}
    assert os.listdir(tmp_path / "builds") == []
    assert os.listdir(tmp_path / "stack") == ["now"]
    assert os.listdir(tmp_path / "output") == []
