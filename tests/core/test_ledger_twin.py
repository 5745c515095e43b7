"""Random wishes, granted or refused: the fold agrees with a naive twin, and the ledger keeps its invariants."""

from dataclasses import asdict

from hypothesis import given, settings
from ledger_wishes import told, wishes

from dynod.core.ledger import Ledger
from dynod.model.entry import Payload
from dynod.model.formation import MAX_DYNOS
from dynod.model.release import BuildStatus, ReleaseStatus


class Twin:
    """The obvious ledger: mutable dicts all the way, one `if` per kind."""

    def __init__(self) -> None:
        self.revision = 0
        self.apps: dict[str, dict] = {}

    def note(self, app: str, actor: str, at: float, payload: Payload) -> None:
        self.revision += 1
        kind, fields = type(payload).__name__, asdict(payload)
        if kind == "AppDestroyed":
            del self.apps[app]
            return
        if kind == "AppCreated":
            self.apps[app] = {"app": {"id": app, "created_at": at, **fields, "build_stack": fields["stack"]}}
            self.apps[app]["app"] |= {
                "maintenance": False,
                "buildpacks": (),
                "detected_buildpack": "",
                "acm": False,
            }
            self.apps[app] |= {
                "config": {},
                "releases": (),
                "slugs": {},
                "builds": (),
                "formation": (),
                "features": {},
                "domains": (),
                "endpoints": (),
            }
        state = self.apps[app]
        state["app"]["updated_at"] = at
        when = {"created_at": at, "updated_at": at}
        if kind == "AppRenamed":
            state["app"]["name"] = fields["name"]
        if kind == "MaintenanceSet":
            state["app"]["maintenance"] = fields["on"]
        if kind == "BuildStackSet":
            state["app"]["build_stack"] = fields["stack"]
        if kind == "BuildpacksSet":
            state["app"]["buildpacks"] = fields["urls"]
        if kind == "FeatureSet":
            state["features"][fields["name"]] = fields["enabled"]
        if kind == "AcmSet":
            state["app"]["acm"] = fields["on"]
        if kind == "DomainAdded":
            state["domains"] += ({**fields, **when, "endpoint": None},)
        if kind == "DomainRemoved":
            state["domains"] = tuple(each for each in state["domains"] if each["id"] != fields["id"])
        if kind == "DomainEndpointSet":
            next(each for each in state["domains"] if each["id"] == fields["id"]).update(
                fields, updated_at=at
            )
        if kind == "EndpointRemoved":
            state["endpoints"] = tuple(each for each in state["endpoints"] if each["id"] != fields["id"])
        if kind == "EndpointSet":
            there = [each for each in state["endpoints"] if each["id"] == fields["id"]]
            if there:
                there[0].update(fields, updated_at=at)
            else:
                state["endpoints"] += ({**fields, **when},)
        if kind == "SlugAdded":
            state["slugs"][fields["slug"]["id"]] = fields["slug"]
        if kind == "FormationSet":
            state["formation"] = fields["rows"]
        if kind == "BuildStarted":
            build = {**fields, **when, "status": "pending", "actor": actor, "slug": None, "release": None}
            state["builds"] += (build,)
        if kind == "BuildSettled":
            detected = fields.pop("detected")
            state["app"]["detected_buildpack"] = detected or state["app"]["detected_buildpack"]
            next(each for each in state["builds"] if each["id"] == fields["id"]).update(fields, updated_at=at)
        if kind == "ReleaseCreated":
            state["releases"] += ({**fields, **when, "actor": actor},)
            state["config"] = fields["config"]
        if kind == "ReleaseSettled":
            next(each for each in state["releases"] if each["id"] == fields["id"]).update(
                fields, updated_at=at
            )
        if kind in ("ReleaseCreated", "ReleaseSettled"):
            release = next(each for each in state["releases"] if each["id"] == fields["id"])
            if release["status"] == "succeeded" and release["slug"]:
                state["app"]["stack"] = state["slugs"][release["slug"]]["stack"]


def invariant(ledger: Ledger) -> None:
    assert ledger.names == {state.app.name: id for id, state in ledger.apps.items()}
    owned = [(domain.hostname, id) for id, state in ledger.apps.items() for domain in state.domains]
    assert len(owned) == len(ledger.hostnames)
    assert dict(owned) == ledger.hostnames
    for state in ledger.apps.values():
        shown = {each.id: each for each in state.endpoints}
        for domain in state.domains:
            assert domain.endpoint is None or shown[domain.endpoint].certificate.covers(domain.hostname)
        assert state.app.acm or not any(each.acm for each in state.endpoints)
        assert [release.version for release in state.releases] == list(range(1, len(state.releases) + 1))
        assert sum(release.status is ReleaseStatus.PENDING for release in state.releases) <= 1
        assert sum(build.status is BuildStatus.PENDING for build in state.builds) <= 1
        assert sum(row.quantity for row in state.formation) <= MAX_DYNOS
        families = {
            row.size.name if row.size.name in ("Eco", "Basic") else "other" for row in state.formation
        }
        assert len(families) <= 1
        running = state.deployed
        commands = {} if running is None else state.slugs[running.slug].process_types
        assert {row.type: row.command for row in state.formation} == commands
        assert state.config == (state.releases[-1].config if state.releases else {})


@settings(max_examples=100, deadline=None)
@given(wishes)
def test_the_fold_and_its_twin(wanted) -> None:
    twin = Twin()
    for entries, ledger in told(wanted):
        for entry in entries:
            twin.note(entry.app, entry.actor, entry.at, entry.payload)
        invariant(ledger)
    assert {id: asdict(state) for id, state in ledger.apps.items()} == twin.apps
    assert ledger.revision == twin.revision
