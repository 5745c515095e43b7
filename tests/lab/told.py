"""What a client of changes.py was told, and whether a machine that lost its power (or its disk's memory) holds to it."""

import threading
from collections import Counter

PYTHON = "/opt/dynod/venv/bin/python"
INSIDE = "/srv/dynod/tests/lab"
CODE = frozenset({"push", "rollback"})
ANY = "any"


class Told:
    """Lines of changes.py as they come: `try WHAT VALUE`, then `did` or `not`. Nothing is heard after the power went."""

    def __init__(self):
        self.lines, self.said = [], []
        self.began = threading.Event()

    def hear(self, kind, data):
        (self.lines if kind == "out" else self.said).extend(data.decode().splitlines())
        if self.lines:
            self.began.set()

    def counts(self, before=None):
        """How many changes of each kind were acknowledged."""
        return Counter(line.split()[1] for line in self.lines[:before] if line.startswith("did "))

    def under_way(self, before=None):
        """What was about to change when all went dark."""
        word, *change = (self.lines[:before] or ["nothing"])[-1].split()
        return " ".join(change[:2]) if word == "try" else ""

    def allowed(self, *whats, before=None, after=None):
        """What may be found: the last that was acknowledged before the power went, and what was tried since; nothing, if anything may."""
        before, after = (len(self.lines) if place is None else place for place in (before, after))
        acknowledged, tried = set(), set()
        for place, line in enumerate(self.lines[:after]):
            word, what, value, *more = line.split()
            # It brings back a COUNT of old, which is told once it is done.
            if what == "rollback" and "count" in whats:
                what, value = "count", more[0] if word == "did" else ANY
            if what not in whats:
                continue
            if word == "try":
                tried.add(value)
            elif word == "not":
                tried.discard(value)
            elif place < before:
                acknowledged, tried = {value}, set()
        found = acknowledged | tried
        return found if acknowledged and ANY not in found else set()

    def holds(self, found, served, before=None, after=None):
        """Hold a machine to it: `found` is what look.py found there, `served` what the app's page says."""
        assert (found["ledger.db"], found["observations.db"], found["gaps"]) == ("ok", "ok", [])
        assert (
            found["unlike their archive"]
            == found["half made"]
            == found["repositories that err"]
            == found["locked"]
            == []
        )
        assert found["running"] == found["formation"]
        for what in ("count", "web", "worker"):
            if allowed := self.allowed(what, before=before, after=after):
                assert str({**found, **found["formation"]}[what]) in allowed, what
        if allowed := self.allowed("push", before=before, after=after):
            assert found["pushed"] in allowed, allowed
        assert served == found["page"], "served is what lies in the slug of the newest release"
        if allowed := self.allowed(*CODE, before=before, after=after):
            assert {found["slug"], found["page"].removeprefix("page ").strip()} & allowed, allowed
