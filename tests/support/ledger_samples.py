"""Small ledgers to test with: apps that were created, deployed and configured, written as one line each."""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping

from dynod.core import changes
from dynod.core.ledger import AppState, Ledger, fold
from dynod.model.app import Account, AppId, AppName
from dynod.model.entry import Entry, FormationSet, Payload, ReleaseCreated
from dynod.model.formation import Scale, process_type
from dynod.model.release import ReleaseId, ReleaseStatus, Slug, SlugId

OWNER = Account("u1", "e@x")
APP = AppId("a1")
NAME = AppName("demo")


def ids(prefix: str = "id") -> Iterator[str]:
    return (f"{prefix}{number}" for number in itertools.count(1))


def drawer(prefix: str = "id") -> Callable[[], str]:
    return ids(prefix).__next__


def slug(id: str = "s1", stack: str = "debian-12", **types: str) -> Slug:
    """A slug with the process types given; `{"web": ...}` if none are."""
    commands = {process_type(name): command for name, command in (types or {"web": "serve"}).items()}
    return Slug(SlugId(id), "0" * 64, 1000, "1a2b3c4d5e6f", "first", commands, stack, "Python", 5.0)


def after(ledger: Ledger, payloads: Iterable[Payload], app: AppId = APP, actor: str = "e@x") -> Ledger:
    """Fold payloads in, at one second per revision."""
    for payload in payloads:
        revision = ledger.revision + 1
        ledger = fold(ledger, Entry(revision, app, actor, float(revision), payload))
    return ledger


class Story:
    """One app, told by wishes: each method is a wish that is granted and folded."""

    def __init__(self) -> None:
        self.ledger = after(Ledger(), changes.create_app(Ledger(), NAME, OWNER, "debian-12", ids("first")))
        self.new_id = drawer("new")
        self.said: tuple[Payload, ...] = ()

    @property
    def state(self) -> AppState:
        return self.ledger.apps[APP]

    def tell(self, payloads: tuple[Payload, ...]) -> "Story":
        self.said = payloads
        self.ledger = after(self.ledger, payloads)
        return self

    def deploy(self, what: Slug) -> "Story":
        release = ReleaseId(f"r{self.state.next_version}")
        return self.tell(changes.deploy(self.state, what, "Deploy 1a2b3c4d", release, self.new_id))

    def config(self, wanted: Mapping[str, str | None]) -> "Story":
        return self.tell(changes.set_config(self.state, wanted, ReleaseId(f"r{self.state.next_version}")))

    def settle(self, status: ReleaseStatus) -> "Story":
        pending = self.state.pending
        assert pending is not None
        return self.tell(changes.settle_release(self.state, pending.id, status, self.new_id))

    def bare(self) -> "Story":
        """Back to v2, before the first deploy: what earlier versions wrote down for such a rollback."""
        version = self.state.next_version
        release = ReleaseId(f"r{version}")
        created = ReleaseCreated(release, version, "Rollback to v2", ReleaseStatus.SUCCEEDED, None, {})
        return self.tell((created, FormationSet(())))

    def rollback(self, version: int) -> "Story":
        target = self.state.releases[version - 1]
        release = ReleaseId(f"r{self.state.next_version}")
        return self.tell(changes.rollback(self.state, target, release, self.new_id))

    def scale(self, *wishes: Scale) -> "Story":
        return self.tell(changes.scale(self.state, wishes))
