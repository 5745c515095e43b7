"""One listener's queue, pure: bounded, and honest about what it lost."""

from dynod.logplex.query import matches
from dynod.logplex.records import Record
from dynod.model.codes import l11
from dynod.model.log import LogQuery

ROWS = 2_000
CHARS = 1024 * 1024

Numbered = tuple[int, Record]


def overflow(dropped: int, since: int, at: int) -> Record:
    """The line that tells a listener of its loss (HEROKU.md 5.3, L11)."""
    return Record(at, "heroku", "logplex", l11(dropped, since))


class Tail:
    """Lines wait here while the listener reads. When it is full new lines are counted, not kept, until `take` has emptied it."""

    def __init__(self, query: LogQuery, rows: int = ROWS, chars: int = CHARS) -> None:
        self.query = query
        self.over = False  # its app is gone: what waits is the last
        self._limit = (rows, chars)
        self._rows: list[Numbered] = []
        self._chars = 0
        self._dropped = 0
        self._since = 0

    def offer(self, first: int, records: list[Record]) -> bool:
        """Take the lines that were asked for, numbered from `first`; return whether `take` has something now."""
        for number, record in enumerate(records, first):
            if matches(self.query, record):
                self._offer(number, record)
        return bool(self._rows)

    def _offer(self, number: int, record: Record) -> None:
        rows, chars = self._limit
        if self._dropped or len(self._rows) >= rows or self._chars >= chars:
            self._since = self._since if self._dropped else record.at
            self._dropped += 1
            return
        self._rows.append((number, record))
        self._chars += len(record.text)

    def take(self) -> list[Numbered]:
        """Return what waits, and at its end what was lost behind it."""
        rows, self._rows, self._chars = self._rows, [], 0
        if self._dropped:
            number, last = rows[-1]
            rows.append((number, overflow(self._dropped, self._since, last.at)))
            self._dropped = 0
        return rows
